from common.model.copy import changed
from common.model.endpoint import Endpoint, EndpointSpec, PortConfig, Protocol, PublishMode
from common.model.service import Service, ServiceSpec
from common.model.task import Task
from manager.store.indexes import Groups, Names, Uses, ports_of


def service(service_id: str, name: str = "", *ports: PortConfig) -> Service:
    spec = ServiceSpec(name=name, endpoint_spec=EndpointSpec(ports=ports) if ports else None)
    return Service(id=service_id, spec=spec)


def test_a_group_has_who_came_and_not_who_left() -> None:
    groups: Groups[Task] = Groups(lambda task: task.node_id)
    here, there = Task(id="t", node_id="n1"), Task(id="t", node_id="n2")
    other = Task(id="u", node_id="n1")
    groups.note(None, Task(id="v"))
    groups.note(None, here)
    groups.note(None, other)
    groups.note(here, there)
    assert (list(groups.of("n1")), list(groups.of("n2"))) == ([other], [there])
    assert list(groups.of("")) == []
    groups.note(other, None)
    groups.note(there, None)
    assert (list(groups.of("n1")), list(groups.of("n2"))) == ([], [])


def test_a_name_is_held_in_any_case() -> None:
    names: Names[Service] = Names()
    web = service("s1", "Web")
    names.note(None, web)
    assert names.holder("WEB") is web
    names.note(web, None)
    assert names.holder("web") is None


def test_a_name_that_passed_to_another_service_stays_with_it() -> None:
    names: Names[Service] = Names()
    old, new = service("s1", "web"), service("s2", "web")
    names.note(None, old)
    names.note(None, new)
    names.note(old, service("s1", "db"))
    assert names.holder("web") is new


WEB = PortConfig(published_port=80)
DNS = PortConfig(published_port=53, protocol=Protocol.UDP)
ON_HOST = PortConfig(published_port=81, publish_mode=PublishMode.HOST)


def test_a_port_is_published_while_it_is_asked_for_or_allocated() -> None:
    ports = Uses(ports_of)
    asks = service("s1", "a", WEB, ON_HOST, PortConfig(target_port=8080))
    has = changed(service("s2"), endpoint=Endpoint(ports=(WEB, DNS)))
    ports.note(None, asks)
    ports.note(None, has)
    assert list(ports.of((Protocol.TCP, 80))) == [asks, has]
    assert list(ports.of((Protocol.UDP, 53))) == [has]
    assert list(ports.of((Protocol.TCP, 81))) == list(ports.of((Protocol.TCP, 0))) == []
    ports.note(asks, service("s1", "a", DNS))
    ports.note(has, None)
    assert list(ports.of((Protocol.TCP, 80))) == []
    assert [found.id for found in ports.of((Protocol.UDP, 53))] == ["s1"]
