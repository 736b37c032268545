"""``docker ps --filter publish=80`` and ``--filter expose=8000-8080/tcp``."""

import pytest

from common.errors import InvalidInputError
from common.model.container_spec import ContainerSpec
from worker.api.port_filters import exposes, publishes
from worker.containers.record import Container, ContainerConfig, HostOptions, PortBinding

CONTAINER = Container(
    id="c1",
    image_id="sha256:1",
    created_at=0.0,
    config=ContainerConfig(
        name="web",
        spec=ContainerSpec(image="web:1"),
        host=HostOptions(
            port_bindings=(PortBinding(port=80, host_port=8080),),
            exposed_ports=("80/tcp", "53/udp"),
        ),
    ),
    ports=(PortBinding(port=9000, protocol="udp", host_port=32768),),
)


@pytest.mark.parametrize(
    ("ports", "published", "exposed"),
    [
        ("80", True, True),
        ("80/tcp", True, True),
        ("80/udp", False, False),
        ("8080", False, False),
        ("70-90", True, True),
        ("9000/udp", True, False),
        ("53/udp", False, True),
        ("1-65535/sctp", False, False),
    ],
)
def test_ports_are_those_of_the_container(ports: str, *, published: bool, exposed: bool) -> None:
    assert publishes(CONTAINER, ports) is published
    assert exposes(CONTAINER, ports) is exposed


@pytest.mark.parametrize("ports", ["", "x", "0", "65536", "90-80", "80/icmp", "80-", "-1"])
def test_what_is_no_port_is_refused(ports: str) -> None:
    with pytest.raises(InvalidInputError, match="is no port"):
        publishes(CONTAINER, ports)
