"""Options of tmpfs mounts."""

import pytest

from common.errors import InvalidInputError
from worker.containers.tmpfs import NODEV, NOEXEC, NOSUID, TmpfsPlan, tmpfs_plan

PLANS: dict[str, TmpfsPlan] = {
    "": TmpfsPlan(),
    "rw,noexec,nosuid,nodev": TmpfsPlan(flags=NOSUID | NODEV | NOEXEC),
    "exec": TmpfsPlan(flags=NOSUID | NODEV),
    "exec,suid,dev,noatime": TmpfsPlan(flags=1 << 10),
    "exec,noexec": TmpfsPlan(),
    "uid=1000,gid=5,nr_inodes=10k": TmpfsPlan(data="uid=1000,gid=5,nr_inodes=10k"),
    "uid=1,uid=2": TmpfsPlan(data="uid=2"),
    "huge=within_size,mpol=bind:0-1": TmpfsPlan(data="huge=within_size,mpol=bind:0-1"),
}


@pytest.mark.parametrize("text", PLANS)
def test_tmpfs_plan(text: str) -> None:
    assert tmpfs_plan(text.split(",")) == PLANS[text]


@pytest.mark.parametrize(
    "word", ["bind", "remount", "uid", "uid=x", "uid=1,size=5", "size=1", "x=y"]
)
def test_what_a_tmpfs_does_not_have(word: str) -> None:
    with pytest.raises(InvalidInputError, match="invalid tmpfs option"):
        tmpfs_plan([word])
