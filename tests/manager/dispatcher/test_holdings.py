"""Which secrets and configs an agent is given: those that its tasks need, for as long as they do."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.codec import decode, encode
from common.model.config import Config
from common.model.secret import Secret
from common.model.task import Task, TaskSpec, TaskState, TaskStatus
from common.protocol.messages import PAYLOAD_BYTES_PER_MESSAGE_MAX, Assignments
from manager.dispatcher.assignments import (
    Difference,
    Told,
    difference,
    difference_messages,
    everything,
    full_messages,
    told_of,
)
from manager.dispatcher.handing import Handing, Key
from manager.dispatcher.holdings import Holdings, find_in, needs_among, needs_of
from manager.store.state import State
from tests.support.builders import config, secret, state_of, template_with
from worker.agent.inbox import Inbox, receive

KEY, OTHER, CONF = secret("key"), secret("other"), config("conf")
ALL = (KEY, OTHER, CONF)
ASSIGNED, RUNNING = TaskState.ASSIGNED, TaskState.RUNNING


def task(
    *items: Secret | Config,
    name: str = "t",
    state: TaskState = ASSIGNED,
    desired: TaskState = RUNNING,
    node: str = "n1",
) -> Task:
    return Task(
        id=name,
        node_id=node,
        spec=template_with(*items),
        desired_state=desired,
        status=TaskStatus(state=state),
    )


NEEDS: dict[str, tuple[Task | None, set[Key]]] = {
    "what it names, once it is assigned": (
        task(KEY, CONF),
        {("secret", "key"), ("config", "conf")},
    ),
    "before it is to start, too": (task(KEY, desired=TaskState.READY), {("secret", "key")}),
    "while it runs": (task(KEY, state=RUNNING), {("secret", "key")}),
    "nothing when it names nothing": (task(), set()),
    "nothing before it is assigned": (task(KEY, state=TaskState.PENDING), set()),
    "nothing when it is another node's": (task(KEY, node="n2"), set()),
    "nothing once it has ended": (task(KEY, state=TaskState.FAILED), set()),
    "nothing once it is to end": (task(KEY, desired=TaskState.SHUTDOWN), set()),
    "nothing without a container": (Task(id="t", node_id="n1", spec=TaskSpec()), set()),
    "nothing when it is gone": (None, set()),
}


@pytest.mark.parametrize(("given_task", "expected"), NEEDS.values(), ids=NEEDS)
def test_a_task_needs(given_task: Task | None, expected: set[Key]) -> None:
    assert needs_of(given_task, "n1") == expected


def settle(holdings: Holdings, *tasks: Task, state: State | None = None) -> Handing:
    known = {item.id: item for item in tasks}
    return holdings.settle(needs_among(known, known, "n1"), find_in(state or state_of(ALL)))


def names(handing: Handing) -> tuple[list[str], list[str]]:
    return [item.id for item in handing.given], [item_id for _, item_id in handing.taken]


def test_is_given_once_and_taken_with_the_last_task() -> None:
    holdings = Holdings()
    assert names(settle(holdings, task(KEY, name="a"))) == (["key"], [])
    assert names(settle(holdings, task(KEY, OTHER, name="b"))) == (["other"], [])
    assert not settle(holdings, task(KEY, name="a"))
    ended = task(KEY, name="a", state=TaskState.COMPLETE)
    assert not settle(holdings, ended)
    assert not settle(holdings, ended)
    gone = task(KEY, OTHER, name="b", desired=TaskState.SHUTDOWN)
    assert names(settle(holdings, gone)) == ([], ["key", "other"])
    assert names(settle(holdings, task(KEY, name="c"))) == (["key"], [])


def test_what_passes_from_one_task_to_the_next_stays() -> None:
    holdings = Holdings()
    settle(holdings, task(KEY, name="a"))
    ended = task(KEY, name="a", state=TaskState.FAILED)
    assert not settle(holdings, ended, task(KEY, name="b"))


def test_what_does_not_exist_is_not_given() -> None:
    holdings = Holdings()
    assert not settle(holdings, task(KEY, name="a"), state=State())
    assert not settle(holdings, task(KEY, name="a", state=TaskState.REJECTED), state=State())


def test_labels_stay_with_the_managers() -> None:
    labelled = state_of([secret("key", labels={"internal": "1"})])
    (given_secret,) = settle(Holdings(), task(KEY), state=labelled).given
    assert given_secret.spec.labels == {}


def test_large_ones_come_in_parts_and_before_their_tasks() -> None:
    large = [config(f"c{n}", data=bytes(1_000_000)) for n in range(5)]
    messages = list(full_messages([task(*large)], 1, Handing(given=tuple(large))))
    assert [len(message.configs) for message in messages] == [2, 2, 1, 0]
    assert [len(message.tasks) for message in messages] == [0, 0, 0, 1]
    assert all(len(encode(message)) < 2 * PAYLOAD_BYTES_PER_MESSAGE_MAX for message in messages)
    inbox = Inbox()
    for message in messages:
        assert inbox.configs == {}  # all at once, when it is whole
        inbox = receive(inbox, message)
    assert (set(inbox.tasks), len(inbox.configs), inbox.is_complete) == ({"t"}, 5, True)


def test_an_agent_of_0_1_0_reads_what_it_knows_of_a_message() -> None:
    """It takes the first fields of the array and ignores the others."""
    (message,) = difference_messages(Difference(), 4)
    assert decode(Assignments, encode(message)) == message


# --------------------------------------------------------------------------------------- properties

STATES = st.sampled_from([TaskState.PENDING, ASSIGNED, RUNNING, TaskState.FAILED])
DESIRED = st.sampled_from([TaskState.READY, RUNNING, TaskState.SHUTDOWN])
CLUSTERS = st.dictionaries(
    st.sampled_from("abcde"),
    st.builds(
        lambda items, state, desired, node: task(*items, state=state, desired=desired, node=node),
        st.lists(st.sampled_from(ALL), max_size=3, unique_by=lambda item: item.id),
        STATES,
        DESIRED,
        st.sampled_from(["n1", "n2"]),
    ),
    max_size=5,
).map(
    lambda found: {
        name: Task(
            id=name,
            node_id=item.node_id,
            spec=item.spec,
            desired_state=item.desired_state,
            status=item.status,
        )
        for name, item in found.items()
    }
)


class _Told:
    """A session's half: what was told to one agent, and the agent's inbox."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}
        self.holdings = Holdings()
        self.inbox = Inbox()

    def everything(self, tasks: dict[str, Task], state: State) -> list[Assignments]:
        mine = everything(tasks.values(), "n1")
        self.told = {item.id: told_of(item) for item in mine}
        self.holdings = Holdings()
        handing = self.holdings.settle(needs_among(self.told, tasks, "n1"), find_in(state))
        return list(full_messages(mine, self.inbox.number + 1, handing))

    def news(self, tasks: dict[str, Task], state: State) -> list[Assignments]:
        found = difference("n1", "abcde", tasks, self.told)
        handing = self.holdings.settle(needs_among("abcde", tasks, "n1"), find_in(state))
        if not found and not handing:
            return []
        self.told.update({item.id: told_of(item) for item in found.tasks})
        for gone in found.removed:
            del self.told[gone]
        return list(difference_messages(found, self.inbox.number, handing))


@settings(deadline=None)
@given(
    CLUSTERS,
    st.lists(st.tuples(CLUSTERS, st.booleans()), max_size=6),
    st.lists(st.sampled_from(ALL), unique_by=lambda item: item.id),
)
def test_an_agent_has_just_what_its_tasks_need(
    first: dict[str, Task],
    later: Sequence[tuple[dict[str, Task], bool]],
    existing: list[Secret | Config],
) -> None:
    """Never a secret that no task of its own needs; never a task before its secrets; nothing after the last one."""
    state, session = state_of(existing), _Told()
    known = {("secret" if isinstance(item, Secret) else "config", item.id) for item in existing}
    for tasks, begins_anew in [(first, True), *later]:
        wanted = {key for item in tasks.values() for key in needs_of(item, "n1")} & known
        messages = session.everything(tasks, state) if begins_anew else session.news(tasks, state)
        for message in messages:
            sent = {("secret", item.id) for item in message.secrets}
            sent |= {("config", item.id) for item in message.configs}
            assert sent <= wanted
            session.inbox = receive(session.inbox, message)
            if session.inbox.unfinished is None:
                for item in message.tasks:
                    assert needs_of(item, "n1") & known <= _held(session.inbox)
        assert _held(session.inbox) == wanted


def _held(inbox: Inbox) -> set[Key]:
    return {("secret", item) for item in inbox.secrets} | {
        ("config", item) for item in inbox.configs
    }
