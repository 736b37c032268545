"""docs/limits.md tells the bounds as they are in the code."""

import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "limits.md"
ROW = re.compile(r"\| `([\w.]+)` \| ([\d.]+) \|")


def _rows() -> Iterator[tuple[str, str]]:
    for line in DOCUMENT.read_text().splitlines():
        if match := ROW.match(line):
            yield match[1], match[2]


ROWS = list(_rows())


@pytest.mark.parametrize(("name", "told"), ROWS)
def test_a_bound_is_as_told(name: str, told: str) -> None:
    parts = name.split(".")
    last = next(number for number, part in enumerate(parts) if part.isupper())
    holder = ".".join(parts[:last])
    assert str(pkgutil.resolve_name(f"{holder}:{'.'.join(parts[last:])}")) == told


def test_there_are_many() -> None:
    assert len(ROWS) > 40
