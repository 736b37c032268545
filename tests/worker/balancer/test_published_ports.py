from common.model.endpoint import Protocol
from worker.balancer.published_ports import merged
from worker.balancer.table import Backend, PublishedPort

A, B = Backend(address="10.0.0.2", port=80), Backend(address="10.0.0.3", port=80)


def tcp(*backends: Backend) -> PublishedPort:
    return PublishedPort(protocol=Protocol.TCP, port=80, backends=backends)


def test_the_same_wish_is_the_same_value_in_any_order() -> None:
    assert merged([tcp(B, A)]) == merged([tcp(A, B)]) == {(Protocol.TCP, 80, ""): tcp(A, B)}


def test_a_port_named_twice_has_the_backends_of_both() -> None:
    assert merged([tcp(A), tcp(B), tcp(A)]) == {(Protocol.TCP, 80, ""): tcp(A, B)}
