"""A spec that a client reads and sends back unchanged is the same spec: else scaling would restart every task."""

import json
import types
import typing
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.engine_json import parse, render
from common.model.cluster import ClusterSpec
from common.model.container_spec import FileTarget
from common.model.node import NodeSpec
from common.model.service import ServiceSpec
from common.model.task import TaskSpec
from manager.api.defaults import with_defaults
from manager.api.render.spec import service_spec, task_template

TEXT = st.text("ab-_./{}é", min_size=1, max_size=4)
SECONDS = st.integers(0, 10**6).map(lambda millis: millis / 1000)


def _values(hint: Any) -> st.SearchStrategy[Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return SECONDS
    if origin in (typing.Union, types.UnionType):
        return st.one_of(
            [st.none() if member is types.NoneType else _values(member) for member in args]
        )
    if origin is tuple:
        return st.lists(_values(args[0]), max_size=2).map(tuple)
    if origin is not None:
        return st.dictionaries(TEXT, _values(args[1]), max_size=2)
    if is_dataclass(hint):
        return st.deferred(lambda: _objects(hint))
    plain: dict[type, st.SearchStrategy[Any]] = {
        str: st.just("") | TEXT,
        int: st.integers(0, 2**40),
        bool: st.booleans(),
        float: st.floats(0, 1),
    }
    return st.sampled_from(hint) if issubclass(hint, Enum) else plain[hint]


def _objects(kind: Any) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    given = {field.name: _values(hints[field.name]) for field in fields(kind)}
    if kind is FileTarget:  # Docker always writes these three
        given |= dict.fromkeys(("name", "uid", "gid"), TEXT)
    if kind is ClusterSpec:  # never without a name
        given["name"] = TEXT
    if kind is TaskSpec:  # read as nothing, written as "container"
        given["runtime"] = st.just("")
    return st.builds(kind, **given)


@given(_objects(ServiceSpec))
def test_a_service_spec(spec: ServiceSpec) -> None:
    sent = json.loads(json.dumps(service_spec(spec)))
    del sent["TaskTemplate"]["Runtime"]
    assert parse(ServiceSpec, sent) == spec


@given(_objects(TaskSpec))
def test_a_task_template(spec: TaskSpec) -> None:
    sent = json.loads(json.dumps(task_template(spec)))
    del sent["Runtime"]
    assert parse(TaskSpec, sent) == spec


@given(_objects(ServiceSpec))
def test_defaults_are_said_once(spec: ServiceSpec) -> None:
    assert with_defaults(with_defaults(spec)) == with_defaults(spec)


@given(_objects(NodeSpec) | _objects(ClusterSpec))
def test_the_other_specs(spec: NodeSpec | ClusterSpec) -> None:
    assert parse(type(spec), json.loads(json.dumps(render(spec)))) == spec
