"""One task's life as a script: what is wanted, what is seen, and what comes next."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.container_spec import ContainerSpec
from common.model.task import ContainerStatus, Task, TaskSpec, TaskState, TaskStatus
from worker.agent.task_machine import (
    ATTEMPTS_MAX,
    CONTAINER_GONE,
    CUT_OFF,
    RETRY_SECONDS,
    UNHEALTHY,
    Become,
    Create,
    Decision,
    Fault,
    Gone,
    Remove,
    Situation,
    Start,
    Stop,
    Wait,
    decide,
    is_final,
)
from worker.containers.record import (
    Container,
    ContainerConfig,
    ContainerState,
    Health,
    HealthStatus,
)

NOW = 100.0
START = Start(container_id="c1")
STOP = Stop(container_id="c1", grace_seconds=10.0)
REMOVE = Remove(container_id="c1")


def task(desired: TaskState = TaskState.RUNNING) -> Task:
    return Task(
        id="t1",
        node_id="n1",
        desired_state=desired,
        spec=TaskSpec(container_spec=ContainerSpec(image="hello:1")),
        status=TaskStatus(state=TaskState.ASSIGNED),
    )


def container(
    state: ContainerState = ContainerState.CREATED,
    *,
    health: Health = Health.NONE,
    exit_code: int = 0,
    grace: float | None = None,
) -> Container:
    spec = ContainerSpec(image="hello:1", stop_grace_period_seconds=grace)
    return Container(
        id="c1",
        config=ContainerConfig(name="web.1.t1", spec=spec, task_id="t1"),
        image_id="sha256:1",
        created_at=1.0,
        state=state,
        pid=7 if state is ContainerState.RUNNING else 0,
        exit_code=exit_code,
        health=HealthStatus(state=health),
    )


CUT_OFF_CASES: dict[str, tuple[TaskState, ContainerState | None, Decision | TaskState]] = {
    "one that waits never begins": (TaskState.ACCEPTED, None, TaskState.REJECTED),
    "nor one that is prepared": (TaskState.READY, ContainerState.CREATED, TaskState.REJECTED),
    "one that starts is failing": (TaskState.STARTING, ContainerState.CREATED, TaskState.STARTING),
    "one that runs is failing": (TaskState.RUNNING, ContainerState.RUNNING, TaskState.RUNNING),
    "one whose agent died early is stopped": (TaskState.READY, ContainerState.RUNNING, STOP),
    "one that is frozen is stopped too": (TaskState.READY, ContainerState.PAUSED, STOP),
    "one that has ended stays so": (TaskState.COMPLETE, ContainerState.EXITED, Wait()),
}


@pytest.mark.parametrize(
    ("state", "standing", "expected"), CUT_OFF_CASES.values(), ids=CUT_OFF_CASES
)
def test_without_a_manager_for_too_long(
    state: TaskState, standing: ContainerState | None, expected: Decision | TaskState
) -> None:
    now = Situation(
        task=task(),
        status=status(state),
        container=container(standing) if standing else None,
        now=NOW,
        is_cut_off=True,
    )
    decided = decide(now)
    if isinstance(expected, TaskState):
        assert isinstance(decided, Become)
        assert (decided.status.state, decided.status.err) == (expected, CUT_OFF)
    else:
        assert decided == expected


def test_what_is_failing_for_it_is_stopped_and_fails_though_a_manager_is_back() -> None:
    failing = status(TaskState.RUNNING, err=CUT_OFF)
    running = Situation(
        task=task(), status=failing, container=container(ContainerState.RUNNING), now=NOW
    )
    assert decide(running) == STOP
    ended = replace(running, container=container(ContainerState.EXITED))
    decided = decide(ended)
    assert isinstance(decided, Become)
    assert (decided.status.state, decided.status.err) == (TaskState.FAILED, CUT_OFF)


def status(state: TaskState, message: str = "", err: str = "") -> TaskStatus:
    return TaskStatus(state=state, message=message, err=err)


def situation(
    state: TaskState,
    seen: Container | None = None,
    *,
    desired: TaskState = TaskState.RUNNING,
    fault: Fault | None = None,
    err: str = "",
) -> Situation:
    return Situation(
        task=task(desired), status=status(state, err=err), container=seen, now=NOW, fault=fault
    )


def outcome(decision: Decision) -> tuple[TaskState, str, str]:
    assert isinstance(decision, Become), decision
    return decision.status.state, decision.status.message, decision.status.err


RUNNING = container(ContainerState.RUNNING)


def test_the_life_of_a_task_that_ends_well() -> None:
    script: list[tuple[Container | None, Decision | tuple[TaskState, str]]] = [
        (None, (TaskState.ACCEPTED, "accepted")),
        (None, (TaskState.PREPARING, "preparing")),
        (None, Create()),
        (container(), (TaskState.READY, "prepared")),
        (container(), (TaskState.STARTING, "starting")),
        (container(), START),
        (container(ContainerState.RUNNING, health=Health.STARTING), Wait()),
        (container(ContainerState.RUNNING, health=Health.HEALTHY), (TaskState.RUNNING, "started")),
        (container(ContainerState.RUNNING, health=Health.HEALTHY), Wait()),
        (container(ContainerState.EXITED), (TaskState.COMPLETE, "finished")),
        (container(ContainerState.EXITED), Wait()),
    ]
    now = TaskStatus(state=TaskState.ASSIGNED, message="assigned")
    for seen, expected in script:
        decision = decide(Situation(task=task(), status=now, container=seen, now=NOW))
        if isinstance(decision, Become):
            now = decision.status
            assert (now.state, now.message) == expected
        else:
            assert decision == expected


def test_a_status_says_when_and_what_container() -> None:
    decision = decide(situation(TaskState.STARTING, RUNNING))
    assert decision == Become(
        status=TaskStatus(
            timestamp=NOW,
            state=TaskState.RUNNING,
            message="started",
            container_status=ContainerStatus(container_id="c1", pid=7),
        )
    )


def test_a_prepared_task_waits_to_be_wanted() -> None:
    assert decide(situation(TaskState.READY, container(), desired=TaskState.READY)) == Wait()


@pytest.mark.parametrize("desired", [TaskState.RUNNING, TaskState.COMPLETE])
def test_jobs_run_as_services_do(desired: TaskState) -> None:
    decision = decide(situation(TaskState.READY, container(), desired=desired))
    assert outcome(decision)[0] is TaskState.STARTING


ENDS = {
    "a non-zero exit": (
        container(ContainerState.EXITED, exit_code=137),
        "task: non-zero exit (137)",
    ),
    "a container killed for its memory": (
        replace(container(ContainerState.EXITED, exit_code=137), oom_killed=True),
        "task: non-zero exit (137): out of memory",
    ),
    "an exit with a reason": (
        replace(container(ContainerState.DEAD, exit_code=128), error="no space left"),
        "task: non-zero exit (128): no space left",
    ),
    "a container that vanished": (None, CONTAINER_GONE),
}


@pytest.mark.parametrize("state", [TaskState.STARTING, TaskState.RUNNING])
@pytest.mark.parametrize("case", ENDS)
def test_failures_of_a_started_task(case: str, state: TaskState) -> None:
    seen, err = ENDS[case]
    assert outcome(decide(situation(state, seen))) == (TaskState.FAILED, "", err)


@pytest.mark.parametrize("state", [TaskState.STARTING, TaskState.RUNNING])
def test_an_unhealthy_container_is_stopped_before_the_task_has_failed(state: TaskState) -> None:
    sick = container(ContainerState.RUNNING, health=Health.UNHEALTHY)
    assert outcome(decide(situation(state, sick))) == (state, "", UNHEALTHY)
    assert decide(situation(state, sick, err=UNHEALTHY)) == STOP
    stopped = container(ContainerState.EXITED, exit_code=143)
    assert outcome(decide(situation(state, stopped, err=UNHEALTHY))) == (
        TaskState.FAILED,
        "",
        UNHEALTHY,
    )


@pytest.mark.parametrize("desired", [TaskState.SHUTDOWN, TaskState.REMOVE])
@pytest.mark.parametrize(
    "state", [state for state in TaskState if TaskState.ASSIGNED <= state <= TaskState.RUNNING]
)
def test_a_task_no_longer_wanted(state: TaskState, desired: TaskState) -> None:
    shutdown = (TaskState.SHUTDOWN, "shutdown", "")
    assert outcome(decide(situation(state, None, desired=desired))) == shutdown
    assert outcome(decide(situation(state, container(), desired=desired))) == shutdown
    assert decide(situation(state, RUNNING, desired=desired)) == STOP
    ended = container(ContainerState.EXITED, exit_code=143)
    assert outcome(decide(situation(state, ended, desired=desired))) == shutdown


def test_the_grace_is_the_one_the_container_was_made_with() -> None:
    seen = container(ContainerState.RUNNING, grace=0.5)
    decision = decide(situation(TaskState.RUNNING, seen, desired=TaskState.SHUTDOWN))
    assert decision == Stop(container_id="c1", grace_seconds=0.5)


@pytest.mark.parametrize("verdict", [TaskState.REJECTED, TaskState.ORPHANED])
def test_a_task_that_a_manager_gave_up_is_stopped(verdict: TaskState) -> None:
    given_up = replace(task(), status=status(verdict))
    before = Situation(task=given_up, status=status(TaskState.RUNNING), container=RUNNING, now=NOW)
    assert decide(before) == STOP
    after = replace(before, container=container(ContainerState.EXITED))
    assert outcome(decide(after))[0] is TaskState.SHUTDOWN


def test_a_final_task_stays_and_nothing_of_it_runs() -> None:
    assert decide(situation(TaskState.FAILED, RUNNING)) == STOP
    assert decide(situation(TaskState.FAILED, container(ContainerState.EXITED))) == Wait()
    assert decide(situation(TaskState.REJECTED)) == Wait()


def test_a_forgotten_task_leaves_nothing() -> None:
    def forgotten(seen: Container | None) -> Situation:
        return Situation(task=None, status=TaskStatus(), container=seen, now=NOW)

    assert decide(forgotten(RUNNING)) == STOP
    assert decide(forgotten(container(ContainerState.EXITED))) == REMOVE
    assert decide(forgotten(container())) == REMOVE
    assert decide(forgotten(None)) == Gone()


@pytest.mark.parametrize("state", [TaskState.PREPARING, TaskState.READY])
def test_a_container_that_was_started_before_is_adopted(state: TaskState) -> None:
    assert outcome(decide(situation(state, RUNNING)))[0] is TaskState.STARTING


# ----------------------------------------------------------------------------------- errors


def fault(step: Create | Start | Stop | Remove, *, temporary: bool, attempts: int = 1) -> Fault:
    return Fault(step=step, error="no luck", temporary=temporary, at=NOW, attempts=attempts)


def test_an_error_before_the_start_rejects_and_later_fails() -> None:
    rejected = situation(TaskState.PREPARING, fault=fault(Create(), temporary=False))
    assert outcome(decide(rejected)) == (TaskState.REJECTED, "", "no luck")
    failed = situation(TaskState.STARTING, container(), fault=fault(START, temporary=False))
    assert outcome(decide(failed)) == (TaskState.FAILED, "", "no luck")


def test_a_temporary_error_is_tried_again_after_a_while_but_not_for_ever() -> None:
    waits = situation(TaskState.PREPARING, fault=fault(Create(), temporary=True))
    assert decide(waits) == Wait(until=NOW + RETRY_SECONDS)
    assert decide(replace(waits, now=NOW + RETRY_SECONDS)) == Create()
    last = fault(Create(), temporary=True, attempts=ATTEMPTS_MAX)
    assert outcome(decide(replace(waits, fault=last)))[0] is TaskState.REJECTED


@pytest.mark.parametrize("temporary", [True, False])
def test_stopping_is_tried_until_it_succeeds(*, temporary: bool) -> None:
    unwanted = situation(
        TaskState.RUNNING,
        RUNNING,
        desired=TaskState.SHUTDOWN,
        fault=fault(STOP, temporary=temporary, attempts=10 * ATTEMPTS_MAX),
    )
    assert decide(unwanted) == Wait(until=NOW + RETRY_SECONDS)
    assert decide(replace(unwanted, now=NOW + RETRY_SECONDS)) == STOP


def test_the_error_of_one_step_does_not_hold_up_another() -> None:
    unwanted = situation(
        TaskState.PREPARING,
        desired=TaskState.SHUTDOWN,
        fault=fault(Create(), temporary=True),
    )
    assert outcome(decide(unwanted))[0] is TaskState.SHUTDOWN


# -------------------------------------------------------------------------------- properties

containers = st.none() | st.builds(
    container,
    st.sampled_from(ContainerState),
    health=st.sampled_from(Health),
    exit_code=st.sampled_from([0, 1, 137]),
)
observable = [state for state in TaskState if state is not TaskState.REMOVE]
faults = st.none() | st.builds(
    fault,
    st.sampled_from([Create(), START, STOP, REMOVE]),
    temporary=st.booleans(),
    attempts=st.sampled_from([1, ATTEMPTS_MAX]),
)
situations = st.builds(
    Situation,
    task=st.none()
    | st.builds(
        lambda desired, told: replace(task(desired), status=status(told)),
        st.sampled_from(TaskState),
        st.sampled_from(observable),
    ),
    status=st.builds(status, st.sampled_from(observable), err=st.sampled_from(["", UNHEALTHY])),
    container=containers,
    now=st.sampled_from([NOW, NOW + RETRY_SECONDS]),
    fault=faults,
)


@given(situations)
def test_a_status_never_goes_back_and_a_final_one_stays(seen: Situation) -> None:
    decision = decide(seen)
    if isinstance(decision, Become):
        assert not is_final(seen.status)
        assert decision.status.state >= seen.status.state
        assert decision.status != seen.status


@given(situations)
def test_nothing_is_called_ended_while_its_container_runs(seen: Situation) -> None:
    decision = decide(seen)
    runs = seen.container is not None and seen.container.state is ContainerState.RUNNING
    if isinstance(decision, Become) and is_final(decision.status):
        assert not runs


@given(situations)
def test_nothing_starts_that_is_not_wanted(seen: Situation) -> None:
    wanted = (
        seen.task is not None and TaskState.RUNNING <= seen.task.desired_state < TaskState.SHUTDOWN
    )
    if isinstance(decide(seen), Start) and seen.status.state < TaskState.STARTING:
        assert wanted
    if isinstance(decide(seen), (Create, Start)):
        assert seen.task is not None
        assert seen.task.desired_state < TaskState.SHUTDOWN


@given(situations)
def test_statuses_alone_come_to_rest(seen: Situation) -> None:
    """Taking statuses without doing anything ends in a step, a wait or nothing left, and stays there."""
    for _ in range(len(TaskState)):
        decision = decide(seen)
        if not isinstance(decision, Become):
            assert decide(seen) == decision
            return
        seen = replace(seen, status=decision.status)
    pytest.fail(f"still changing: {seen}")


WAITING_FOR_FILES: dict[str, tuple[TaskState, Container | None, Decision]] = {
    "is made ready meanwhile": (TaskState.PREPARING, None, Create()),
    "is not started": (TaskState.READY, container(), Wait()),
    "is not started when an earlier agent was about to": (TaskState.STARTING, container(), Wait()),
    "goes on when it runs already": (TaskState.RUNNING, RUNNING, Wait()),
}


@pytest.mark.parametrize(
    ("state", "seen", "expected"), WAITING_FOR_FILES.values(), ids=WAITING_FOR_FILES
)
def test_a_task_whose_files_are_still_to_come(
    state: TaskState, seen: Container | None, expected: Decision
) -> None:
    assert decide(replace(situation(state, seen), may_have_files=False)) == expected
