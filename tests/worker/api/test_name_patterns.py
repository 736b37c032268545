"""The filter ``name`` takes patterns as docker's does, and none that could take for ever."""

import pytest

from common.engine_api.filters import Filters
from common.errors import InvalidInputError
from worker.api.name_patterns import PATTERN_MAX, name_filter

NAMES = ("web", "web-2", "my.web", "db")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("web", ["web", "web-2", "my.web"]),
        ("^web$", ["web"]),
        ("^(web|db)$", ["web", "db"]),
        ("web-[0-9]+", ["web-2"]),
        (".*b$", ["web", "my.web", "db"]),
        ("", list(NAMES)),
        ("no", []),
    ],
)
def test_a_pattern_is_looked_for_anywhere_in_the_name(pattern: str, found: list[str]) -> None:
    is_named = name_filter(Filters({"name": frozenset({pattern})}))

    assert [name for name in NAMES if is_named(name)] == found


def test_one_of_several_patterns_suffices_and_without_any_all_names_do() -> None:
    either = name_filter(Filters({"name": frozenset({"^db$", "^web$"})}))

    assert [name for name in NAMES if either(name)] == ["web", "db"]
    assert all(map(name_filter(Filters()), NAMES))


@pytest.mark.parametrize(
    "pattern",
    ["(", "[a", "*", "(a+)+$", "(?=a)b", r"(a)\1", ".*.*.*.*x", "a" * (PATTERN_MAX + 1)],
)
def test_what_is_no_pattern_or_has_no_bound_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidInputError, match="invalid filter 'name="):
        name_filter(Filters({"name": frozenset({pattern})}))
