import fcntl
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cli.lab import records as module
from cli.lab.records import Plan, Records, check, check_name, free_network
from common.errors import ConflictError, InvalidInputError, NotFoundError, SystemFailureError

WANTED = Plan(name="unit-test", managers=2, workers=1, network="")


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "state", tmp_path / "run")


def test_hosts_are_named_by_what_they_were_made_as() -> None:
    assert WANTED.hosts == ["m1", "m2", "w1"]
    assert WANTED.namespaces == ["unit-test", "unit-test-m1", "unit-test-m2", "unit-test-w1"]


REFUSED = {
    "no name": replace(WANTED, name=""),
    "a directory": replace(WANTED, name="a/b"),
    "the directory above": replace(WANTED, name=".."),
    "a flag": replace(WANTED, name="-x"),
    "a space": replace(WANTED, name="a b"),
    "a name that is too long": replace(WANTED, name="a" * 33),
    "the name of another lab's host": replace(WANTED, name="lab-m1"),
    "no manager": replace(WANTED, managers=0),
    "too many hosts": replace(WANTED, managers=50, workers=51),
}


@pytest.mark.parametrize("plan", REFUSED.values(), ids=REFUSED)
def test_refuses(plan: Plan) -> None:
    with pytest.raises(InvalidInputError):
        check(plan)


def test_takes_full_names() -> None:
    check(replace(WANTED, name="My_lab.2-" + "x" * 23, managers=3, workers=97))


def test_refuses_to_look_elsewhere(records: Records) -> None:
    with pytest.raises(InvalidInputError):
        records.read("../x")
    with pytest.raises(InvalidInputError):
        check_name("a/../b")


NETWORKS = {
    "the first": ([], "10.124.0.0/24"),
    "a gap": (["10.124.0.0/24", "10.124.2.0/24"], "10.124.1.0/24"),
}


@pytest.mark.parametrize(("taken", "expected"), NETWORKS.values(), ids=NETWORKS)
def test_each_lab_has_its_network(taken: list[str], expected: str) -> None:
    assert free_network(taken) == expected


def test_networks_may_run_out() -> None:
    with pytest.raises(ConflictError):
        free_network([f"10.124.{number}.0/24" for number in range(256)])


def test_a_lab_is_found_from_its_beginning_to_its_end(records: Records, tmp_path: Path) -> None:
    with records.new(WANTED) as plan:
        assert plan == replace(WANTED, network="10.124.0.0/24")
        assert (records.names(), records.read("unit-test")) == (["unit-test"], plan)
        records.complete(plan)
    assert records.read("unit-test") == replace(plan, is_complete=True)
    with records.new(replace(WANTED, name="other")) as other:
        assert other.network == "10.124.1.0/24"
    with records.with_others("unit-test", ["m1", "w1"]):
        pass
    for name in ("unit-test", "other"):
        with records.alone(name):
            records.remove(name)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_name_is_refused(records: Records) -> None:
    with records.new(WANTED) as plan:
        records.complete(plan)
    with pytest.raises(ConflictError, match="already"), records.new(WANTED):
        pass


def test_one_that_was_broken_off_is_called_so(records: Records) -> None:
    with records.new(WANTED):
        pass
    with pytest.raises(ConflictError, match=r"broken off.*lab down"), records.new(WANTED):
        pass


def test_a_namespace_of_somebody_else_is_not_taken(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_NAMESPACES", tmp_path)
    (tmp_path / "unit-test-w1").touch()
    with pytest.raises(ConflictError, match="unit-test-w1"), records.new(WANTED):
        pass
    assert records.names() == []


def test_one_that_is_not_there_is_told_with_those_that_are(records: Records) -> None:
    with pytest.raises(NotFoundError, match="lab up makes one"):
        records.read("x")
    with records.new(WANTED):
        pass
    with pytest.raises(NotFoundError, match="unit-test"):
        records.read("x")


def test_what_a_killed_command_has_begun_or_left_is_swept(records: Records, tmp_path: Path) -> None:
    left = tmp_path / "state" / ".unfinished-x"
    left.mkdir(parents=True)
    (left / "lab.json").touch()
    assert records.names() == []
    with records.new(WANTED):
        assert not left.exists()


def test_a_record_that_is_damaged_is_told(records: Records) -> None:
    with records.new(WANTED):
        pass
    (records.state("unit-test") / "lab.json").write_text("[]")
    with pytest.raises(SystemFailureError, match=r"lab\.json"):
        records.read("unit-test")


def test_a_record_of_a_later_release_is_read_as_far_as_it_is_known(records: Records) -> None:
    with records.new(WANTED) as plan:
        pass
    path = records.state("unit-test") / "lab.json"
    path.write_text(path.read_text().replace('"name"', '"more": 1, "name"'))
    assert records.read("unit-test") == plan


def is_free(directory: Path, kind: int) -> bool:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def test_who_makes_or_removes_a_lab_is_alone(records: Records) -> None:
    with records.new(WANTED):
        assert not is_free(records.state("unit-test"), fcntl.LOCK_SH)
    with records.alone("unit-test"):
        assert not is_free(records.state("unit-test"), fcntl.LOCK_SH)
    assert is_free(records.state("unit-test"), fcntl.LOCK_EX)


def test_different_hosts_may_be_broken_at_the_same_time(records: Records) -> None:
    with records.new(WANTED):
        pass
    state = records.state("unit-test")
    with records.with_others("unit-test", ["m1"]), records.with_others("unit-test", ["m2"]):
        assert is_free(state, fcntl.LOCK_SH)
        assert not is_free(state, fcntl.LOCK_EX)
        assert not is_free(state / "m1", fcntl.LOCK_EX)


def test_who_waits_says_so_and_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    records = Records(tmp_path / "state", tmp_path / "run", told.append)
    monkeypatch.setattr(module, "LOCK_SECONDS_MAX", 0.0)
    with (
        records.new(WANTED),
        pytest.raises(ConflictError, match="another command"),
        records.alone("unit-test"),
    ):
        pass
    assert told == ["another command is changing lab unit-test: waiting for it"]
