from pathlib import Path

from worker.runtime.exits import forget_exit, read_exit, write_exit


def test_a_record_is_read_as_written_and_can_be_forgotten(tmp_path: Path) -> None:
    (tmp_path / "exits").mkdir()
    root = str(tmp_path)
    assert read_exit(root, "a") is None
    write_exit(root, "a", code=137, oom_killed=True, at_ns=1_700_000_000_250_000_000)
    assert read_exit(root, "a") == (137, True, 1_700_000_000.25)
    assert [path.name for path in (tmp_path / "exits").iterdir()] == ["a"]
    for _ in range(2):
        forget_exit(root, "a")
    assert read_exit(root, "a") is None
