"""The two forms of filters, and what they accept."""

import pytest

from common.engine_api.filters import Filters, parse_filters
from common.errors import InvalidInputError

ALLOWED = frozenset({"name", "label"})
READABLE = {
    "none": (None, {}),
    "a list": ('{"name": ["a", "b"]}', {"name": {"a", "b"}}),
    "a map": ('{"name": {"a": true, "b": false}}', {"name": {"a"}}),
}
UNREADABLE = {
    "not JSON": ("{", "invalid filters: not JSON"),
    "not an object": ("[]", "invalid filters: expected an object"),
    "an unknown name": ('{"nmae": ["a"]}', "invalid filter 'nmae' (one of label, name)"),
    "a bare value": ('{"name": "a"}', "invalid filters: name must be a list of strings or a map"),
    "a list of numbers": ('{"name": [1]}', "invalid filters: name must be"),
}
LABELS = {
    "a key": ({"a"}, True),
    "a key and its value": ({"a=1"}, True),
    "another value": ({"a=2"}, False),
    "an empty value": ({"a="}, False),
    "all of several": ({"a", "b=2"}, True),
    "one of several absent": ({"a", "c"}, False),
}


@pytest.mark.parametrize(("text", "expected"), READABLE.values(), ids=READABLE)
def test_reads(text: str | None, expected: dict[str, set[str]]) -> None:
    assert parse_filters(text, ALLOWED).values == expected


@pytest.mark.parametrize(("text", "expected"), UNREADABLE.values(), ids=UNREADABLE)
def test_refuses(text: str, expected: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_filters(text, ALLOWED)
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(("wanted", "expected"), LABELS.values(), ids=LABELS)
def test_labels(wanted: set[str], *, expected: bool) -> None:
    filters = Filters({"label": frozenset(wanted)})
    assert filters.accepts_labels({"a": "1", "b": "2"}) is expected


def test_an_absent_filter_accepts_everything() -> None:
    assert Filters().accepts("name", lambda _value: False)
    assert Filters().accepts_prefix("name", [])


def test_a_prefix_accepts_what_it_begins() -> None:
    filters = Filters({"name": frozenset({"we"})})
    assert filters.accepts_prefix("name", ["db", "web"])
    assert not filters.accepts_prefix("name", ["db"])
