"""What a further process is made with."""

from typing import Any

import pytest

from worker.runtime.bundle import Bundle, FurtherProcess, RootFs
from worker.runtime.launch import further_process
from worker.runtime.order_of import spawn_order, start_order

FIRST = start_order(
    Bundle(
        id="abc",
        rootfs=RootFs(lower=("/l",), upper="/u", work="/w", merged="/m"),
        argv=("web",),
        env=("A=1", "B=2"),
        cwd="/srv",
        user="app",
        seccomp=b"filter",
    )
)["process"]

CASES: dict[str, tuple[FurtherProcess, dict[str, Any]]] = {
    "all but its program is as the first process has it": (
        FurtherProcess(argv=("ls", "-l")),
        {"argv": ["ls", "-l"], "rows": 0, "columns": 0},
    ),
    "variables come after the first one's, and so replace them": (
        FurtherProcess(argv=("ls",), env=("B=3",)),
        {"argv": ["ls"], "env": ["A=1", "B=2", "B=3"]},
    ),
    "a directory and a user of its own": (
        FurtherProcess(argv=("ls",), cwd="/tmp", user="0:0"),
        {"argv": ["ls"], "cwd": "/tmp", "user": "0:0"},
    ),
    "a terminal has a size and a name, which the container's own may replace": (
        FurtherProcess(argv=("ls",), tty=True, console_size=(24, 80)),
        {"argv": ["ls"], "rows": 24, "columns": 80, "env": ["TERM=xterm", "A=1", "B=2"]},
    ),
    "a privileged one has all capabilities; the filter stays, as in Docker": (
        FurtherProcess(argv=("ls",), privileged=True),
        {"argv": ["ls"], "capabilities": 2**64 - 1},
    ),
}


@pytest.mark.parametrize(("process", "changes"), CASES.values(), ids=CASES)
def test_a_further_process(process: FurtherProcess, changes: dict[str, Any]) -> None:
    before = dict(FIRST)
    assert further_process(FIRST, spawn_order("a", process)) == {**FIRST, **changes}
    assert before == FIRST
