"""The parts of the worker that the agent uses are what it takes them for: mypy says so."""

from worker.agent import ports
from worker.balancer.published_ports import PublishedPorts
from worker.containers.engine import LocalEngine


def test_the_engine_and_the_published_ports_fit() -> None:
    engine: type[ports.Containers] = LocalEngine
    published: type[ports.PublishedPorts] = PublishedPorts
    assert (engine, published) == (LocalEngine, PublishedPorts)
