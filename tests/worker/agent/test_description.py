import os
from pathlib import Path

import pytest

from common.errors import SystemFailureError
from worker.agent.description import NANO, describe


def test_this_machine() -> None:
    found = describe("0.1.0", {"disk": "ssd"})
    assert found.resources.nano_cpus == len(os.sched_getaffinity(0)) * NANO
    assert found.resources.memory_bytes > 64 * 1024 * 1024
    assert found.platform.os == "linux"
    assert found.platform.architecture == os.uname().machine
    assert (found.engine.engine_version, found.engine.labels) == ("0.1.0", {"disk": "ssd"})
    assert found.hostname


def test_memory_is_what_the_kernel_says(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:       16384 kB\nMemFree: 1 kB\n")
    assert describe("", {}, (), tmp_path).resources.memory_bytes == 16 * 1024 * 1024


def test_a_kernel_that_does_not_say_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemFree: 1 kB\n")
    with pytest.raises(SystemFailureError):
        describe("", {}, (), tmp_path)
