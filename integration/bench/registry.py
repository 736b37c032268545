"""The benchmarks by name; a new one is entered here."""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module

from integration.bench.rows import Row

Bench = Callable[[], Iterator[Row]]
"""Yields each row as soon as it is measured."""

MODULES: Mapping[str, str] = {
    "runtime": "integration.bench.runtime",
    "service": "integration.bench.service",
    "raft": "integration.bench.raft",
    "scheduler": "integration.bench.scheduler",
    "dispatcher": "integration.bench.dispatcher",
}
"""Modules with a function ``measure``, imported when they are to run."""


def bench_named(name: str) -> Bench:
    """The benchmark of that name."""
    measure: Bench = import_module(MODULES[name]).measure
    return measure
