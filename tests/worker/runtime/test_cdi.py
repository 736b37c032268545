import json
from pathlib import Path

import pytest

from common.errors import InvalidInputError, NotImplementedHereError
from worker.runtime.bundle import BundleMount, DeviceNode
from worker.runtime.cdi import (
    CdiError,
    Edits,
    Specification,
    edits_for,
    is_qualified,
    read_specification,
    registry_of,
)
from worker.runtime.cdi_choice import Wanted, chosen
from worker.runtime.cdi_files import FILE_BYTES_MAX, read_registry


def node(number: int, **more: object) -> dict[str, object]:
    return {"path": f"/dev/gpu{number}", "type": "c", "major": 195, "minor": number, **more}


def content(kind: str = "vendor.com/gpu", **changes: object) -> dict[str, object]:
    return {
        "cdiVersion": "0.6.0",
        "kind": kind,
        "containerEdits": {
            "env": ["LIBRARY=/usr/lib/gpu"],
            "mounts": [
                {
                    "hostPath": "/opt/gpu",
                    "containerPath": "/usr/lib/gpu",
                    "options": ["ro", "nosuid", "rbind", "rslave"],
                }
            ],
        },
        "devices": [
            {"name": "0", "containerEdits": {"deviceNodes": [node(0, fileMode=0o600, uid=7)]}},
            {"name": "1", "containerEdits": {"deviceNodes": [node(1)], "additionalGids": [44]}},
            {"name": "all", "containerEdits": {"deviceNodes": [node(0), node(1)]}},
        ],
        **changes,
    }


def specification(
    kind: str = "vendor.com/gpu", origin: str = "a.json", priority: int = 0, **changes: object
) -> Specification:
    return read_specification(content(kind, **changes), origin, priority)


REGISTRY = registry_of([specification()])
MOUNT = BundleMount(target="/usr/lib/gpu", source="/opt/gpu", read_only=True, propagation="rslave")


def test_a_device_comes_with_what_all_of_its_kind_need() -> None:
    assert edits_for(["vendor.com/gpu=0"], REGISTRY) == Edits(
        env=("LIBRARY=/usr/lib/gpu",),
        devices=(DeviceNode(path="/dev/gpu0", kind="c", major=195, minor=0, mode=0o600, uid=7),),
        mounts=(MOUNT,),
    )


def test_what_several_devices_need_comes_once() -> None:
    edits = edits_for(["vendor.com/gpu=1", "vendor.com/gpu=all", "vendor.com/gpu=1"], REGISTRY)
    assert edits == Edits(
        env=("LIBRARY=/usr/lib/gpu",),
        devices=(
            DeviceNode(path="/dev/gpu1", kind="c", major=195, minor=1),
            DeviceNode(path="/dev/gpu0", kind="c", major=195, minor=0),
        ),
        mounts=(MOUNT,),
        groups=("44",),
    )


def test_numbers_that_are_left_out_are_the_hosts() -> None:
    nodes = [{"path": "/dev/nothing", "hostPath": "/dev/null", "permissions": "r"}]
    one = specification(
        devices=[{"name": "x", "containerEdits": {"deviceNodes": nodes}}], containerEdits={}
    )
    (found,) = edits_for(["vendor.com/gpu=x"], registry_of([one])).devices
    assert (found.path, found.major, found.minor, found.access) == ("/dev/nothing", 1, 3, "r")


def test_an_unknown_device_is_named_with_what_may_be_the_reason() -> None:
    registry = registry_of([], ["/etc/cdi/x.json: no devices"])
    with pytest.raises(
        InvalidInputError, match=r"unresolvable CDI devices vendor.com/gpu=9 \(/etc/cdi/x.json"
    ):
        edits_for(["vendor.com/gpu=9"], registry)


NOT_OFFERED = {
    "a hook": (
        {"hooks": [{"hookName": "createContainer", "path": "/usr/bin/vendor-hook"}]},
        r"hook createContainer \(/usr/bin/vendor-hook\)",
    ),
    "processor caches": ({"intelRdt": {"closID": "x"}}, "intelRdt is not supported"),
    "a mount option": (
        {"mounts": [{"hostPath": "/a", "containerPath": "/b", "options": ["size=1"]}]},
        "mount option 'size=1'",
    ),
    "a mount type": (
        {"mounts": [{"hostPath": "/a", "containerPath": "/b", "type": "tmpfs"}]},
        "mount type 'tmpfs'",
    ),
}


@pytest.mark.parametrize(("edits", "reason"), NOT_OFFERED.values(), ids=NOT_OFFERED)
def test_refused_by_name_is(edits: dict[str, object], reason: str) -> None:
    registry = registry_of([specification(containerEdits=edits)])
    with pytest.raises(NotImplementedHereError, match=reason):
        edits_for(["vendor.com/gpu=0"], registry)


WRONG_EDITS = {
    "a variable without a value": {"env": ["LIBRARY"]},
    "a list that is none": {"env": "A=b"},
    "a mount without a source": {"mounts": [{"containerPath": "/b"}]},
    "a node without a path": {"deviceNodes": [{"type": "c", "major": 1}]},
    "a pipe": {"deviceNodes": [{"path": "/dev/x", "type": "p", "major": 1}]},
    "a number below 0": {"deviceNodes": [{"path": "/dev/x", "type": "c", "major": -1}]},
    "a group that is no number": {"additionalGids": ["x"]},
}


@pytest.mark.parametrize("edits", WRONG_EDITS.values(), ids=WRONG_EDITS)
def test_wrong_is(edits: dict[str, object]) -> None:
    registry = registry_of([specification(containerEdits=edits)])
    with pytest.raises(CdiError, match=r"a\.json"):
        edits_for(["vendor.com/gpu=0"], registry)


WRONG = {
    "no object": [],
    "an unknown version": content(cdiVersion="9.0.0"),
    "a version that is no text": content(cdiVersion=[]),
    "a kind without a vendor": content(kind="gpu"),
    "a kind that leads elsewhere": content(kind="../x/gpu"),
    "no devices": content(devices=[]),
    "a device twice": content(devices=[{"name": "0"}, {"name": "0"}]),
    "a device with a bad name": content(devices=[{"name": "a=b"}]),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_no_specification_is(wrong: object) -> None:
    with pytest.raises(CdiError, match=r"a\.json"):
        read_specification(wrong, "a.json", 0)


def test_a_more_important_directory_wins() -> None:
    important = specification(origin="run.json", priority=1)
    registry = registry_of([specification(), important])
    assert registry.found["vendor.com/gpu=0"] is important
    assert registry.problems == ()


def test_a_device_that_two_files_of_one_directory_describe_is_nobodys() -> None:
    registry = registry_of([specification(), specification(origin="b.json")])
    assert registry.found == {}
    assert "conflicting device vendor.com/gpu=0 in a.json and b.json" in registry.problems


CHOICES = {
    "by name": (Wanted(driver="cdi", device_ids=("x.y/z=1",)), ["x.y/z=1"]),
    "all there are, by their own name": (
        Wanted(count=-1, capabilities=(("gpu",),)), ["vendor.com/gpu=all"],
    ),
    "the first one": (Wanted(count=1, capabilities=(("gpu",),)), ["vendor.com/gpu=0"]),
    "two": (
        Wanted(count=2, capabilities=(("gpu",),)), ["vendor.com/gpu=0", "vendor.com/gpu=1"],
    ),
    "by number": (
        Wanted(device_ids=("1",), capabilities=(("gpu", "utility"),)), ["vendor.com/gpu=1"],
    ),
    "of a vendor": (
        Wanted(driver="vendor", count=1, capabilities=(("gpu",),)), ["vendor.com/gpu=0"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("wanted", "expected"), CHOICES.values(), ids=CHOICES)
def test_chosen_is(wanted: Wanted, expected: list[str]) -> None:
    assert chosen(wanted, REGISTRY) == expected


NO_CHOICE = {
    "more than there are": (Wanted(count=3, capabilities=(("gpu",),)), "3 devices of vendor"),
    "another vendor's": (
        Wanted(driver="nvidia", count=-1, capabilities=(("gpu",),)),
        r'could not select device driver "nvidia" with capabilities: \[\[gpu\]\]',
    ),
    "something else": (Wanted(count=1, capabilities=(("tpu",),)), "could not select device"),
}


@pytest.mark.parametrize(("wanted", "reason"), NO_CHOICE.values(), ids=NO_CHOICE)
def test_nothing_fits(wanted: Wanted, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        chosen(wanted, REGISTRY)


QUALIFIED = {
    "vendor.com/class=name": True,
    "nvidia.com/gpu=0": True,
    "v/c=a:b.c-1": True,
    "/dev/fuse": False,
    "vendor.com/class": False,
    "vendor.com/class=": False,
    "=x": False,
    "vendor.com/class=-x": False,
}


@pytest.mark.parametrize(("name", "expected"), QUALIFIED.items(), ids=QUALIFIED)
def test_qualified_is(name: str, *, expected: bool) -> None:
    assert is_qualified(name) is expected


# -- files -----------------------------------------------------------------------------------------


def test_files_are_json_or_yaml(tmp_path: Path) -> None:
    low, high = tmp_path / "etc", tmp_path / "run"
    low.mkdir()
    high.mkdir()
    (low / "a.json").write_text(json.dumps(content()))
    (low / "b.yaml").write_text(
        "cdiVersion: '0.5.0'\nkind: other.com/net\ndevices:\n- name: x\n  containerEdits: {}\n"
    )
    (low / "notes.txt").write_text("no specification")
    (high / "c.json").write_text(json.dumps(content(devices=[{"name": "0"}])))
    registry = read_registry((str(low), str(high), str(tmp_path / "none")))
    assert sorted(registry.found) == [
        "other.com/net=x", "vendor.com/gpu=0", "vendor.com/gpu=1", "vendor.com/gpu=all",
    ]  # fmt: skip
    assert registry.found["vendor.com/gpu=0"].origin == str(high / "c.json")
    assert registry.problems == ()


UNREADABLE = {
    "no JSON": ("x.json", "{"),
    "no YAML": ("x.yaml", "a: [b"),
    "JSON that is too deep": ("x.json", "[" * 100_000),
    "no specification": ("x.yaml", "just a text"),
    "too long": ("x.json", " " * (FILE_BYTES_MAX + 1)),
}


@pytest.mark.parametrize(("name", "text"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_cannot_be_read_is_a_problem_and_no_more(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / "good.json").write_text(json.dumps(content()))
    registry = read_registry((str(tmp_path),))
    assert len(registry.found) == 3
    assert [str(tmp_path / name) in problem for problem in registry.problems] == [True]
