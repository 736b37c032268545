"""What a benchmark measured, and how it is shown."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

QUICK_VARIABLE = "SWARMD_BENCH_QUICK"
"""Set: benchmarks that can be run in a reduced form are."""
_HIGHER_IS_BETTER = frozenset(
    {"tasks/s", "requests/s", "changes/s", "writes/s", "reports/s", "lines/s"}
)
_COLUMNS = ("bench", "name", "value", "unit", "n", "min", "max", "peer", "ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure: the median of ``n`` samples, beside the median of a peer's when one was there."""

    bench: str
    name: str
    value: float
    unit: str
    n: int
    min: float
    max: float
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    """How many times better than the peer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The same measurement of another system."""

    name: str
    samples: Sequence[float]
    """None where that system is absent: the row says so."""


def row(
    bench: str, name: str, unit: str, samples: Sequence[float], peer: Peer | None = None
) -> Row:
    """The row for some samples. Rates are better when higher, everything else when lower."""
    value = statistics.median(samples)
    peer_value = statistics.median(peer.samples) if peer and peer.samples else None
    ratio = None
    if peer_value is not None and value and peer_value:
        ratio = value / peer_value if unit in _HIGHER_IS_BETTER else peer_value / value
    return Row(
        bench=bench,
        name=name,
        value=_rounded(value),
        unit=unit,
        n=len(samples),
        min=_rounded(min(samples)),
        max=_rounded(max(samples)),
        peer=peer.name if peer else None,
        peer_value=None if peer_value is None else _rounded(peer_value),
        ratio=None if ratio is None else round(ratio, 2),
    )


def as_json(rows: Sequence[Row]) -> str:
    """The rows for a program."""
    return json.dumps([asdict(one) for one in rows], indent=1) + "\n"


def as_table(rows: Sequence[Row]) -> str:
    """The rows for a person."""
    lines = [_COLUMNS, *(_cells(one) for one in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    numbers = {2, 4, 5, 6, 8}
    return "\n".join(
        "  ".join(
            text.rjust(width) if column in numbers else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _cells(one: Row) -> tuple[str, ...]:
    value = "absent" if one.peer_value is None else f"{one.peer_value:g}"
    peer = "" if one.peer is None else f"{one.peer}: {value}"
    ratio = "" if one.ratio is None else f"{one.ratio:g}x"
    numbers = (f"{one.value:g}", one.unit, str(one.n), f"{one.min:g}", f"{one.max:g}")
    return (one.bench, one.name, *numbers, peer, ratio)


def _rounded(number: float) -> float:
    """Six digits that matter, and no exponent up to a million."""
    return round(number) if abs(number) >= 1000 else float(f"{number:.4g}")
