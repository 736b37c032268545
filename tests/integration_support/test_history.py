from pathlib import Path

from integration.history import Recorder, acknowledged, operations_of, read_history
from integration.linearizability import Operation, Read, Swap, check


def facts(one: Operation) -> tuple[object, ...]:
    return one.client, one.key, one.action, one.returned is not None


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    with Recorder(tmp_path / "new" / "history.jsonl") as recorder:
        recorder.begin("a", "k", Swap(expected=None, value="1")).done()
        recorder.begin("b", "k", Read).done(value="1")
        recorder.begin("a", "k", Swap(expected="1", value="2")).unknown("connection lost")
        recorder.begin("a", "k", Swap(expected="1", value="3")).nothing("update out of sequence")
        recorder.begin("b", "k", Read).nothing("timed out")
        recorder.begin("c", "k", Swap(expected="1", value="4"))
        history = read_history(recorder.path)  # while it is being written
    assert [facts(one) for one in history] == [
        ("a", "k", Swap(expected=None, value="1"), True),
        ("b", "k", Read(value="1"), True),
        ("a", "k", Swap(expected="1", value="2"), False),
        ("c", "k", Swap(expected="1", value="4"), False),
    ]
    assert [one.action for one in acknowledged(history)] == [Swap(expected=None, value="1")]
    assert check(history)


def test_a_line_that_was_cut_off_counts_as_not_written(tmp_path: Path) -> None:
    with Recorder(tmp_path / "history.jsonl") as recorder:
        recorder.begin("a", "k", Swap(expected=None, value="1")).done()
    text = recorder.path.read_text()
    [one] = operations_of(text[:-5].splitlines())
    assert facts(one) == ("a", "k", Swap(expected=None, value="1"), False)


def test_times_are_in_the_order_of_what_happened(tmp_path: Path) -> None:
    with Recorder(tmp_path / "history.jsonl") as recorder:
        first, second = recorder.begin("a", "k", Read), recorder.begin("b", "k", Read)
        second.done(value=None)
        first.done(value=None)
    one, other = read_history(recorder.path)
    assert one.returned is not None
    assert other.returned is not None
    assert one.called <= other.called <= other.returned <= one.returned
