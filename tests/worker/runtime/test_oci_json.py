import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.runtime.oci_json import to_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@given(VALUES)
def test_what_is_written_is_read_as_it_was(value: object) -> None:
    assert json.loads(to_json(value)) == value  # type: ignore[arg-type]  # a plain value


def test_bytes_are_json_already() -> None:
    assert to_json({"a": b'{"b":1}', "c": (1, "x")}) == '{"a":{"b":1},"c":[1,"x"]}'


def test_a_byte_that_is_no_text_is_kept() -> None:
    assert to_json("\udcff").encode(errors="surrogateescape") == b'"\xff"'


def test_what_is_not_plain_is_refused() -> None:
    with pytest.raises(TypeError, match=r"not a plain value: 1\.5"):
        to_json(1.5)  # type: ignore[arg-type]
