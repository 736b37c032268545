"""Runs benchmarks and prints their table. Exit code 0: everything was measured, whatever the figures."""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from integration.bench.registry import MODULES, bench_named
from integration.bench.rows import QUICK_VARIABLE, Row, as_json, as_table


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./test.sh bench", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"of {', '.join(MODULES)}; all when none is given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="dispatcher: few agents, only to see that it can be measured",
    )
    options = parser.parse_args(arguments)
    if options.quick:
        os.environ[QUICK_VARIABLE] = "1"
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # cleans up first
    unknown = [name for name in options.name if name not in MODULES]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(MODULES)}")
    rows: list[Row] = []
    broken = [name for name in options.name or MODULES if not _run(name, rows)]
    print(as_table(rows))
    if options.json:
        options.json.write_text(as_json(rows))
    if broken:
        print(f"not measured: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


def _run(name: str, rows: list[Row]) -> bool:
    """Runs one benchmark, saying what it found as it goes; whether it came to its end."""
    try:
        for row in bench_named(name)():
            rows.append(row)
            print(f"{row.bench}: {row.name}: {row.value:g} {row.unit}", file=sys.stderr, flush=True)
    except Exception:  # noqa: BLE001 - a benchmark that breaks must not take the others with it
        traceback.print_exc()
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
