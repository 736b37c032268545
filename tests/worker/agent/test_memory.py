import logging
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.model.task import Task, TaskState, TaskStatus
from worker.agent.memory import COMPACT_RECORDS_MIN, Memory


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agent" / "assignments"


def loaded(file: Path) -> dict[str, TaskState]:
    memory = Memory(file)
    found = {entry.task.id: entry.status.state for entry in memory.load()}
    memory.close()
    return found


def save(memory: Memory, task_id: str, state: TaskState = TaskState.RUNNING) -> None:
    memory.save(Task(id=task_id), TaskStatus(state=state))


def test_what_was_saved_last_is_remembered(file: Path) -> None:
    memory = Memory(file)
    assert memory.load() == []
    save(memory, "a")
    save(memory, "b")
    save(memory, "a", TaskState.FAILED)
    memory.forget("b")
    memory.forget("unknown")
    memory.close()
    assert loaded(file) == {"a": TaskState.FAILED}
    assert loaded(file) == {"a": TaskState.FAILED}


def test_a_torn_end_is_dropped(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory(file)
    memory.load()
    save(memory, "a")
    whole = file.stat().st_size
    save(memory, "b")
    memory.close()
    for size in range(whole + 1, file.stat().st_size):
        torn = file.with_name(f"torn-{size}")
        torn.write_bytes(file.read_bytes()[:size])
        with caplog.at_level(logging.WARNING):
            assert loaded(torn) == {"a": TaskState.RUNNING}
    assert "damaged" in caplog.text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_damage_never_makes_up_a_task(file: Path, place: int, flip: int) -> None:
    memory = Memory(file)
    memory.load()
    for task_id in "abc":
        save(memory, task_id)
    memory.close()
    data = bytearray(file.read_bytes())
    data[place % len(data)] ^= flip
    file.write_bytes(data)
    assert list(loaded(file)) in (["a", "b"], ["a"], [])
    file.unlink()


def test_the_file_stays_small(file: Path) -> None:
    memory = Memory(file)
    memory.load()
    save(memory, "a")
    one = file.stat().st_size
    for _ in range(3 * COMPACT_RECORDS_MIN):
        save(memory, "a")
        assert file.stat().st_size <= (COMPACT_RECORDS_MIN + 2) * one
    memory.close()
    assert loaded(file) == {"a": TaskState.RUNNING}


def test_clearing_leaves_nothing(file: Path) -> None:
    memory = Memory(file)
    memory.load()
    save(memory, "a")
    memory.clear()
    assert not file.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_an_error_that_leaves_what_stands(file: Path) -> None:
    memory = Memory(file)
    memory.load()
    save(memory, "a")
    memory.close()
    memory._descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left"):
        save(memory, "b")
    memory.close()
    assert loaded(file) == {"a": TaskState.RUNNING}
