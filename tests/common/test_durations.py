import pytest

from common.durations import nanoseconds, seconds

GOOD = {
    "0": 0,
    "10ms": 10**7,
    "1.5s": 1_500_000_000,
    "1h30m": 5400 * 10**9,
    "2µs": 2000,
    ".5m": 30 * 10**9,
}
BAD = ("", "5", "1 s", "s", "-1s", "1d", "1s2", "٣s")


@pytest.mark.parametrize(("text", "expected"), GOOD.items())
def test_reads_gos_durations(text: str, expected: int) -> None:
    assert nanoseconds(text) == expected
    assert seconds(text) == expected / 10**9


@pytest.mark.parametrize("text", BAD)
def test_refuses_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        nanoseconds(text)
