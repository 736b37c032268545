from common.model.task import TaskState
from manager.control.batches import Batches
from manager.store.changes import Change, SetDesiredState
from manager.store.store import MAX_CHANGES_PER_ENTRY


def changes(count: int) -> list[Change]:
    return [SetDesiredState(task_id=str(n), state=TaskState.REMOVE) for n in range(count)]


def sizes(batches: Batches[str]) -> list[tuple[list[str], int]]:
    return [(batch.keys, len(batch.changes)) for batch in batches.full]


def test_small_verdicts_share_an_entry() -> None:
    batches: Batches[str] = Batches()
    batches.add("a", changes(3))
    batches.add("b", changes(4))
    assert sizes(batches) == [(["a", "b"], 7)]


def test_a_verdict_that_fits_is_not_torn() -> None:
    batches: Batches[str] = Batches()
    batches.add("a", changes(MAX_CHANGES_PER_ENTRY - 1))
    batches.add("b", changes(2))
    assert sizes(batches) == [(["a"], MAX_CHANGES_PER_ENTRY - 1), (["b"], 2)]


def test_a_large_verdict_is_split() -> None:
    batches: Batches[str] = Batches()
    batches.add("a", changes(2 * MAX_CHANGES_PER_ENTRY + 1))
    assert [count for _, count in sizes(batches)] == [200, 200, 1]
    assert batches.changes == 401


def test_a_key_that_was_refused_shares_with_no_other() -> None:
    batches: Batches[str] = Batches()
    batches.add("a", changes(1))
    batches.add("b", changes(1), alone=True)
    batches.add("c", changes(1))
    assert sizes(batches) == [(["a", "c"], 2), (["b"], 1)]
