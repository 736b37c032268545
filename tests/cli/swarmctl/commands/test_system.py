from typing import Any

import pytest

from cli.swarmctl.commands.system import summary
from tests.cli.swarmctl.conftest import Run
from tests.support.unix_api import Answer, UnixApi

USAGE: dict[str, Any] = {
    "LayersSize": 10_000_000,
    "Images": [
        {"Id": "sha256:1", "RepoTags": ["web:1"], "Created": 0, "Size": 6_000_000, "SharedSize": 2_000_000,
         "Containers": 1},
        {"Id": "sha256:2", "RepoTags": None, "Created": 0, "Size": 6_000_000, "SharedSize": 2_000_000,
         "Containers": 0},
    ],
    "Containers": [
        {"Id": "c" * 64, "Image": "web:1", "Command": "/run", "Created": 0, "State": "running", "Status": "Up",
         "Names": ["/web"], "SizeRw": 500_000, "Mounts": [{"Driver": "local"}]},
        {"Id": "d" * 64, "Image": "web:1", "Command": "/run", "Created": 0, "State": "exited", "Status": "Exited",
         "Names": ["/old"], "SizeRw": 1_500_000},
    ],
    "Volumes": [
        {"Name": "used", "Driver": "local", "UsageData": {"Size": 3_000, "RefCount": 1}},
        {"Name": "idle", "Driver": "local", "UsageData": {"Size": 1_000, "RefCount": 0}},
    ],
}  # fmt: skip


def test_the_summary_is_as_dockers() -> None:
    lines = [tuple(line.values()) for line in summary(USAGE)]
    assert lines == [
        ("Images", "2", "1", "10MB", "6MB (60%)"),
        ("Containers", "2", "1", "2MB", "1.5MB (75%)"),
        ("Local Volumes", "2", "1", "4kB", "1kB (25%)"),
        ("Build Cache", "0", "0", "0B", "0B"),
    ]


def test_of_nothing_there_is_no_share() -> None:
    assert {line["Reclaimable"] for line in summary({})} == {"0B"}


def test_df_in_full_names_each(api: UnixApi, run: Run) -> None:
    api.answer("GET /system/df", USAGE)
    out = run("system", "df", "-v")[1]
    for text in (
        "web          1",
        "<none>",
        "old",
        "idle          0         1kB",
        "Build cache usage: 0B",
    ):
        assert text in out, out
    assert run("system", "df", "-v", "--format", "json")[0] == 2


def test_prune_removes_all_kinds(api: UnixApi, run: Run) -> None:
    api.answer("POST /containers/prune", {"ContainersDeleted": ["c1"], "SpaceReclaimed": 1_000})
    api.answer("POST /networks/prune", {})
    api.answer("POST /volumes/prune", {"VolumesDeleted": ["v1"], "SpaceReclaimed": 1_000})
    gone = [{"Untagged": "web:1"}, {"Deleted": "sha256:1"}]
    api.answer("POST /images/prune", {"ImagesDeleted": gone, "SpaceReclaimed": 1_000})
    code, out, _ = run("system", "prune", "-f", "-a", "--volumes")
    assert code == 0
    assert out == (
        "Deleted Containers:\nc1\n\nDeleted Volumes:\nv1\n\n"
        "Deleted Images:\nuntagged: web:1\ndeleted: sha256:1\n\nTotal reclaimed space: 3kB\n"
    )
    assert api.sent("POST /images/prune").query == {"filters": '{"dangling":{"false":true}}'}


@pytest.mark.parametrize("kind", ["networks", "images"])
def test_what_swarmd_cannot_prune_is_told(api: UnixApi, run: Run, kind: str) -> None:
    for other in ("containers", "networks", "images"):
        api.answer(f"POST /{other}/prune", {})
    api.answer(f"POST /{kind}/prune", Answer(status=501, body={"message": "not implemented"}))
    code, _, err = run("system", "prune", "-f")
    assert (code, err) == (0, f"WARNING: {kind} are not pruned: not implemented\n")


def test_volumes(api: UnixApi, run: Run) -> None:
    api.answer("POST /volumes/create", Answer(status=201, body={"Name": "v1"}))
    words = ("-o", "type=tmpfs", "-o", "device=tmpfs", "--label", "a=b", "v1")
    assert run("volume", "create", *words)[:2] == (0, "v1\n")
    assert api.sent("POST /volumes/create").json == {
        "Name": "v1", "Driver": "local", "Labels": {"a": "b"},
        "DriverOpts": {"type": "tmpfs", "device": "tmpfs"},
    }  # fmt: skip
    api.answer("GET /volumes", {"Volumes": USAGE["Volumes"], "Warnings": ["W"]})
    assert run("volume", "ls", "-q") == (0, "idle\nused\n", "WARNING: W\n")
    assert run("volume", "ls", "--format", "{{.Name}} {{.Size}} {{.Links}}")[1] == (
        "idle 1kB 0\nused 3kB 1\n"
    )
    api.answer("DELETE /volumes/v1", Answer(status=204))
    assert run("volume", "rm", "-f", "v1")[:2] == (0, "v1\n")
    api.answer("POST /volumes/prune", {"VolumesDeleted": ["v2"], "SpaceReclaimed": 0})
    assert run("volume", "prune", "-af")[1] == "Deleted Volumes:\nv2\n\nTotal reclaimed space: 0B\n"
    assert api.sent("POST /volumes/prune").query == {"filters": '{"all":{"1":true}}'}
    assert run("volume", "create", "--type", "block")[0] == 2


def test_inspect_finds_anything(api: UnixApi, run: Run) -> None:
    api.answer("GET /volumes/v1", {"Name": "v1"})
    api.answer("GET /containers/web/json", {"Name": "/web"})
    code, out, err = run("inspect", "-f", "{{.Name}}", "v1", "web", "gone")
    assert (code, out, err) == (1, "v1\n/web\n", "Error: No such object: gone\n")
    assert run("inspect", "--type", "image", "web")[2] == "Error: No such image: web\n"
    api.answer("GET /images/web/json", Answer(status=500, body={"message": "broken"}))
    assert "broken" in run("inspect", "--type", "image", "web")[2]
