"""Model objects to the Engine API's JSON and back."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from common.engine_json import INT64_MAX, INT64_MIN, from_rfc3339, parse, render, rfc3339
from common.errors import InvalidInputError
from common.model.fields import Seconds
from common.model.node import Availability
from common.model.service import Global, Mode, Replicated


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One field of each sort."""

    text: str = ""
    number: int = 0
    switch: bool = False
    maybe: bool | None = None
    word: Availability = Availability.ACTIVE
    delay_seconds: Seconds = 0.0
    wait_seconds: Seconds | None = None
    items: tuple[str, ...] = ()
    mode: Mode = field(default_factory=Replicated)
    node_id: str = ""


READ: dict[str, tuple[Any, Sample]] = {
    "nothing": ({}, Sample()),
    "null for the default": ({"Text": None, "Items": None, "Word": None}, Sample()),
    "an empty word for the default": ({"Word": ""}, Sample()),
    "a key in another case": ({"text": "a", "NODEID": "n"}, Sample(text="a", node_id="n")),
    "an unknown key": ({"Unknown": 1}, Sample()),
    "nanoseconds": (
        {"Delay": 1_500_000_000, "Wait": 0},
        Sample(delay_seconds=1.5, wait_seconds=0.0),
    ),
    "a whole number with a point": ({"Number": 3.0}, Sample(number=3)),
    "one of several kinds": ({"Mode": {"Global": {}}}, Sample(mode=Global())),
    "its name in another case": (
        {"Mode": {"replicated": {"Replicas": 2}}},
        Sample(mode=Replicated(replicas=2)),
    ),
    "the others null": ({"Mode": {"Replicated": None, "Global": {}}}, Sample(mode=Global())),
    "the ends of 64 bits": ({"Number": INT64_MIN}, Sample(number=INT64_MIN)),
}
FAULTS: dict[str, tuple[Any, str]] = {
    "a list for an object": ([], "invalid value for Sample: expected an object, found list"),
    "a text for a number": ({"Number": "1"}, "invalid value for Sample.Number: expected an integer"),
    "a truth for a number": ({"Number": True}, "invalid value for Sample.Number: expected an"),
    "a broken number": ({"Number": 1.5}, "invalid value for Sample.Number: expected an integer"),
    "a number beyond 64 bits": ({"Number": INT64_MAX + 1}, "invalid value for Sample.Number: 9"),
    "an unknown word": ({"Word": "idle"}, "invalid value for Sample.Word: 'idle' (one of active"),
    "an item of another sort": ({"Items": ["a", 1]}, "invalid value for Sample.Items[1]: expected"),
    "two kinds at once": ({"Mode": {"Global": {}, "Replicated": {}}}, "invalid value for Sample.Mo"),
    "no kind": ({"Mode": {}}, "invalid value for Sample.Mode: expected exactly one of Replicated"),
    "half a surrogate pair": ({"Text": "\udc00"}, "invalid value for Sample.Text: not valid Unicode"),
}  # fmt: skip
WRITTEN: dict[str, tuple[Sample, dict[str, Any]]] = {
    "what is empty is left out": (
        Sample(),
        {"Number": 0, "Word": "active", "Delay": 0, "Mode": {"Replicated": {"Replicas": 1}}},
    ),
    "false stands where nothing means something else": (
        Sample(maybe=False, switch=False, wait_seconds=0.0, mode=Global()),
        {"Number": 0, "Maybe": False, "Word": "active", "Delay": 0, "Wait": 0, "Mode": {"Global": {}}},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "expected"), READ.values(), ids=READ)
def test_reads(raw: Any, expected: Sample) -> None:
    assert parse(Sample, raw) == expected


@pytest.mark.parametrize(("raw", "expected"), FAULTS.values(), ids=FAULTS)
def test_names_the_place_of_a_fault(raw: Any, expected: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(Sample, raw)
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(("value", "expected"), WRITTEN.values(), ids=WRITTEN)
def test_writes(value: Sample, expected: dict[str, Any]) -> None:
    assert render(value) == expected


def test_moments() -> None:
    assert rfc3339(0.0) == "0001-01-01T00:00:00Z"
    assert rfc3339(1_700_000_000.25) == "2023-11-14T22:13:20.250000000Z"
    assert from_rfc3339("2023-11-14T22:13:20.25+00:00") == 1_700_000_000.25
    assert from_rfc3339("0001-01-01T00:00:00Z") == 0.0
    with pytest.raises(ValueError, match="Invalid isoformat"):
        from_rfc3339("noon")
