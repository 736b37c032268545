import resource
from collections.abc import Mapping

import pytest

from common.descriptors import DESCRIPTORS_MAX, raised

ENDLESS = resource.RLIM_INFINITY
CASES: Mapping[str, tuple[tuple[int, int], int]] = {
    "a login's": ((1024, 524_288), 524_288),
    "no more is allowed": ((20_000, 20_000), 20_000),
    "more than anybody needs is allowed": ((1024, 1 << 30), DESCRIPTORS_MAX),
    "any number is allowed": ((1024, ENDLESS), DESCRIPTORS_MAX),
    "more than anybody needs is there": ((1 << 30, 1 << 30), 1 << 30),
    "there is no limit": ((ENDLESS, ENDLESS), ENDLESS),
}


@pytest.mark.parametrize(("found", "expected"), CASES.values(), ids=CASES)
def test_the_limit_to_take(found: tuple[int, int], expected: int) -> None:
    assert raised(*found) == expected
