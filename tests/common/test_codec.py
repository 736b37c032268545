from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.codec import INTERNED_MAX, CodecError, _packed, decode, encode, tagged
from common.model.cluster import Cluster
from common.model.container_spec import ContainerSpec
from common.model.node import Node
from common.model.service import Replicated, Service
from common.model.task import Task, TaskSpec, TaskState
from common.protocol.messages import Message
from manager.store.changes import Create, Entry
from tests.support.any_model import any_of

KINDS: dict[str, Any] = {
    "a cluster": Cluster,
    "a node": Node,
    "a service": Service,
    "a task": Task,
    "an entry": Entry,
    "a message": Message,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_is_packed_is_unpacked_equal(kind: Any, data: st.DataObject) -> None:
    value = data.draw(any_of(kind))
    assert decode(kind, encode(value)) == value


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_or_a_codec_error(kind: Any, data: bytes) -> None:
    with suppress(CodecError):
        decode(kind, data)


@pytest.mark.parametrize("kind", [Task, Entry], ids=["a task", "an entry"])
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_bytes_are_a_value_or_a_codec_error(kind: Any, data: st.DataObject) -> None:
    packed = bytearray(encode(data.draw(any_of(kind))))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(CodecError):
        decode(kind, bytes(packed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    __interned__ = True

    word: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Older:
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Newer:
    name: str
    size: int = 7
    parts: tuple[str, ...] = ("a",)
    names: Mapping[str, int] = field(default_factory=dict)
    marks: frozenset[str] = frozenset()
    share: float = 0.0
    inner: Inner = field(default_factory=Inner)
    next: "Newer | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    choice: Older | Empty | None = None
    only: list[int] = field(default_factory=list)


tagged(Older, Empty)


def test_a_reader_takes_defaults_for_what_is_not_there_yet() -> None:
    assert decode(Newer, msgpack.packb(["n"])) == Newer(name="n")


def test_a_reader_ignores_what_it_does_not_know() -> None:
    assert decode(Older, msgpack.packb(["Older", "n", "later", 1])) == Older(name="n")


def test_every_kind_of_field() -> None:
    value = Newer(
        name="n",
        size=1,
        parts=(),
        names={"x": 1},
        marks=frozenset("cab"),
        share=0.5,
        inner=Inner(word="w"),
        next=Newer(name="m"),
    )
    assert decode(Newer, encode(value)) == value


def test_the_same_value_gives_the_same_bytes() -> None:
    marks = frozenset(f"m{n}" for n in range(50))
    assert encode(Newer(name="n", marks=marks)) == encode(
        Newer(name="n", marks=frozenset(sorted(marks, reverse=True)))
    )


def test_a_member_of_a_union_is_known_by_its_name() -> None:
    for choice in (Older(name="n"), Empty(), None):
        assert decode(Chosen, encode(Chosen(choice=choice))) == Chosen(choice=choice)


def test_equal_interned_objects_are_one_object_after_reading() -> None:
    one, other = (
        decode(Task, encode(Task(id=i, spec=TaskSpec(force_update=424242)))) for i in "ab"
    )
    assert one.spec is other.spec


def test_an_interned_object_is_packed_once() -> None:
    spec = TaskSpec(container_spec=ContainerSpec(image="packed-once"))
    first = encode(Task(id="a", spec=spec))
    packed = _packed.get(id(spec))
    assert encode(Task(id="a", spec=spec)) == first
    assert _packed.get(id(spec)) is packed is not None


def test_interned_objects_are_forgotten_in_the_end() -> None:
    kept = decode(Task, encode(Task(id="a", spec=TaskSpec(force_update=-1)))).spec
    for number in range(INTERNED_MAX + 1):
        encode(Inner(word=str(number)))
        decode(Inner, msgpack.packb(msgpack.packb([str(number)])))
    again = decode(Task, encode(Task(id="a", spec=TaskSpec(force_update=-1)))).spec
    assert (again == kept, again is kept) == (True, False)


WRONG: dict[str, tuple[Any, Any, str]] = {
    "no msgpack": (Older, b"\xc1", "not a valid Older"),
    "something behind the end": (Older, encode(Older(name="n")) + b"x", "not a valid Older"),
    "a number for a string": (Older, ["Older", 1], "expected str, found int"),
    "true for a number": (Newer, ["n", True], "expected int, found bool"),
    "a string for a float": (Newer, ["n", 1, [], {}, [], "x"], "expected float, found str"),
    "a string for a list": (Newer, ["n", 1, "x"], "expected an array, found str"),
    "a list for a map": (Newer, ["n", 1, [], []], "expected a map, found list"),
    "a map for an object": (Newer, {}, "expected an array, found dict"),
    "an array for an interned object": (
        Newer,
        ["n", 1, [], {}, [], 0, ["w"]],
        "expected bytes of a Inner, found list",
    ),
    "a missing field": (Older, ["Older"], "not a valid Older"),
    "a kind that is not one of the union": (Chosen, [["Later", 1]], "unknown kind 'Later'"),
    "no kind at all": (Chosen, [[]], "not a valid Chosen"),
    "an unknown state": (TaskState, 1, "not a valid TaskState: 1"),
    "a list for a state": (TaskState, [1], "not a valid TaskState"),
    "a union member of another name": (Older, ["Newer", "n"], "expected a Older, found a Newer"),
}


@pytest.mark.parametrize(("kind", "raw", "message"), WRONG.values(), ids=WRONG)
def test_refuses_to_read(kind: Any, raw: Any, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        decode(kind, raw if isinstance(raw, bytes) else msgpack.packb(raw))


def test_refuses_to_pack_what_has_no_place() -> None:
    with pytest.raises(TypeError, match="object has no place in the codec"):
        encode([object()])


def test_a_mapping_of_another_class_is_packed_as_a_map() -> None:
    packed = encode(Newer(name="n", names=MappingProxyType({"x": 1})))
    assert decode(Newer, packed).names == {"x": 1}


def test_a_union_of_one_and_none() -> None:
    assert decode(Entry, encode(Entry(at=1, changes=(Create(object=Node(id="n")),)))).at == 1.0
    assert decode(Chosen, encode(Chosen(only=[1, 2]))).only == [1, 2]
    assert decode(Replicated, encode(Replicated(replicas=2))) == Replicated(replicas=2)
