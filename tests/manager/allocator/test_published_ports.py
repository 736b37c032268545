from dataclasses import dataclass, field, replace

import pytest

from common.model.endpoint import Endpoint, EndpointSpec, PortConfig, Protocol, PublishMode
from common.model.service import Service
from manager.allocator.published_ports import (
    DYNAMIC_PORT_MAX,
    DYNAMIC_PORT_MIN,
    PortsError,
    allocate_ports,
    port_conflict,
)
from tests.support.builders import service

TCP, UDP = Protocol.TCP, Protocol.UDP


@dataclass
class Others:
    """What other services hold, and what they ask for beside that."""

    held: dict[tuple[Protocol, int], Service] = field(default_factory=dict)
    asked: set[tuple[Protocol, int]] = field(default_factory=set)

    def holder(self, protocol: Protocol, port: int) -> Service | None:
        return self.held.get((protocol, port))

    def want(self, protocol: Protocol, port: int) -> bool:
        return (protocol, port) in self.held or (protocol, port) in self.asked


def port(published: int = 0, target: int = 80, protocol: Protocol = TCP) -> PortConfig:
    return PortConfig(published_port=published, target_port=target, protocol=protocol)


def numbers(of: Service, others: Others | None = None) -> list[int]:
    return [p.published_port for p in allocate_ports(of, others or Others())]


def test_a_port_that_is_asked_for_is_given() -> None:
    assert numbers(service(ports=[port(8080)])) == [8080]


def test_dynamic_ports_are_the_lowest_free_ones_by_protocol() -> None:
    of = service(ports=[port(), port(target=81), port(protocol=UDP)])
    others = Others(asked={(TCP, DYNAMIC_PORT_MIN)})
    assert numbers(of, others) == [30001, 30002, 30000]


def test_a_dynamic_port_avoids_one_that_the_service_itself_asks_for() -> None:
    assert numbers(service(ports=[port(), port(30000, target=81)])) == [30001, 30000]


def test_a_dynamic_port_stays_when_the_service_changes() -> None:
    held = replace(port(), published_port=31234)
    of = service(ports=[port(target=81), port()], endpoint=Endpoint(ports=(held,)))
    assert numbers(of) == [30000, 31234]


def test_ports_of_host_mode_are_left_to_the_nodes() -> None:
    host = PortConfig(target_port=80, publish_mode=PublishMode.HOST)
    assert numbers(service(ports=[host])) == [0]


def test_a_port_that_another_service_holds_is_refused_in_dockers_words() -> None:
    others = Others(held={(TCP, 8080): service(name="api")})
    with pytest.raises(
        PortsError,
        match=r"^port '8080' is already in use by service 'api' \(api\) as an ingress port$",
    ):
        allocate_ports(service(ports=[port(8080)]), others)


def test_a_port_that_another_service_only_asks_for_goes_to_who_comes_first() -> None:
    assert numbers(service(ports=[port(8080)]), Others(asked={(TCP, 8080)})) == [8080]


def test_when_no_dynamic_port_is_left_it_says_so() -> None:
    asked = {(TCP, number) for number in range(DYNAMIC_PORT_MIN, DYNAMIC_PORT_MAX + 1)}
    with pytest.raises(PortsError, match="no tcp port is free between 30000 and 32767"):
        allocate_ports(service(ports=[port()]), Others(asked=asked))


HOST_8080 = PortConfig(published_port=8080, target_port=80, publish_mode=PublishMode.HOST)
INGRESS = "port '8080' is already in use by service 'api' (api) as an ingress port"
AS_HOST = "port '8080' is already in use by service 'api' (api) as a host-published port"
CONFLICTS: dict[str, tuple[PortConfig, PortConfig, str | None]] = {
    "ingress beside ingress": (port(8080), port(8080), INGRESS),
    "host beside ingress": (HOST_8080, port(8080), INGRESS),
    "ingress beside host": (port(8080), HOST_8080, AS_HOST),
    "host beside host: the scheduler keeps them apart": (HOST_8080, HOST_8080, None),
    "another protocol": (port(8080, protocol=UDP), port(8080), None),
    "another port": (port(8081), port(8080), None),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_port_conflict(case: str) -> None:
    asked, other, expected = CONFLICTS[case]
    api = service(name="api", ports=[other])
    assert expected == port_conflict(EndpointSpec(ports=(asked,)), [api])


def test_a_service_is_not_in_its_own_way() -> None:
    api = service(name="api", ports=[port(8080)])
    assert port_conflict(EndpointSpec(ports=(port(8080),)), [api], own_id="api") is None


def test_an_allocated_dynamic_port_is_in_the_way_too() -> None:
    api = service(name="api", endpoint=Endpoint(ports=(port(30000),)))
    conflict = port_conflict(EndpointSpec(ports=(port(30000),)), [api])
    assert conflict is not None
