import io
import os
import socket
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import click
import pytest

from cli.swarmctl.archives import packed, unpack
from cli.swarmctl.copy_paths import Plan


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        for member, content in members:
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    file.seek(0)
    return file


def member(
    name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", mode: int = 0o644
) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    return made


def as_file(chunks: Iterable[bytes]) -> io.BytesIO:
    return io.BytesIO(b"".join(chunks))


def test_what_is_packed_is_unpacked(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "empty").mkdir(parents=True)
    (tree / "file").write_bytes(os.urandom(200_001))
    (tree / "file").chmod(0o751)
    os.link(tree / "file", tree / "again")
    (tree / "link").symlink_to("/nowhere/at/all")
    os.utime(tree / "file", (1_000_000_000, 1_000_000_000))
    got = tmp_path / "got"
    got.mkdir()
    how = Plan(directory=str(got), old="tree", new="copy")
    size = unpack(as_file(packed(tree, "tree")), how, with_owners=False)
    copy = got / "copy"
    assert sorted(entry.name for entry in copy.iterdir()) == ["again", "empty", "file", "link"]
    assert (copy / "file").read_bytes() == (tree / "file").read_bytes()
    status = (copy / "file").stat()
    assert (status.st_mode & 0o7777, status.st_mtime, status.st_nlink) == (0o751, 1_000_000_000, 2)
    assert (copy / "link").readlink() == Path("/nowhere/at/all")
    assert size == 200_001


def test_sockets_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "tree" / "socket"))
        with tarfile.open(fileobj=as_file(packed(tmp_path / "tree", "t"))) as made:
            assert made.getnames() == ["t"]


HOSTILE: dict[str, tuple[Callable[[Path], io.BytesIO], str]] = {
    "by ..": (lambda _: archive((member("a/../../evil"), b"x")), "outside of"),
    "by a link of its own": (
        lambda out: archive(
            (member("a/link", tarfile.SYMTYPE, link=str(out)), b""), (member("a/link/evil"), b"x")
        ),
        "outside of",
    ),
    "by a link to a file": (
        lambda out: archive(
            (member("a/link", tarfile.SYMTYPE, link=str(out / "evil")), b""),
            (member("a/link"), b"x"),
        ),
        "",  # the link gives way
    ),
    "by a hard link": (
        lambda _: archive((member("a/hard", tarfile.LNKTYPE, link="../outside/victim"), b"")),
        "outside of",
    ),
    "by a hard link through a link": (
        lambda out: archive(
            (member("a/link", tarfile.SYMTYPE, link=str(out)), b""),
            (member("a/hard", tarfile.LNKTYPE, link="a/link/victim"), b""),
        ),
        "outside of",
    ),
    "a device": (lambda _: archive((member("a/null", tarfile.CHRTYPE), b"")), "a device or a pipe"),
    "a directory in the place of a file": (
        lambda _: archive((member("a/x"), b""), (member("a/x", tarfile.DIRTYPE), b"")),
        "cannot overwrite non-directory",
    ),
    "a file in the place of a directory": (
        lambda _: archive((member("a/x", tarfile.DIRTYPE, mode=0o755), b""), (member("a/x"), b"")),
        "cannot overwrite directory",
    ),
    "no archive": (lambda _: io.BytesIO(b"x" * 5000), "damaged"),
    "cut off": (lambda _: io.BytesIO(archive((member("a/x"), b"y" * 5000)).read()[:2000]), "damaged"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "says"), HOSTILE.values(), ids=HOSTILE)
def test_nothing_is_written_elsewhere(
    make: Callable[[Path], io.BytesIO], says: str, tmp_path: Path
) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "victim").write_text("as before")
    how = Plan(directory=str(inside), old="a", new="a")
    if says:
        with pytest.raises(click.ClickException, match=says):
            unpack(make(outside), how, with_owners=False)
    else:
        unpack(make(outside), how, with_owners=False)
    assert [entry.name for entry in outside.iterdir()] == ["victim"]
    assert ((outside / "victim").read_text(), (outside / "victim").stat().st_nlink) == (
        "as before",
        1,
    )


def test_a_link_that_is_there_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "victim").write_text("as before")
    (tmp_path / "there" / "file").symlink_to(tmp_path / "victim")
    how = Plan(directory=str(tmp_path / "there"), old="file", new="file")
    unpack(archive((member("file"), b"new")), how, with_owners=False)
    assert (tmp_path / "victim").read_text() == "as before"
    assert (tmp_path / "there" / "file").read_text() == "new"


@pytest.mark.parametrize(("with_owners", "mode"), [(False, 0o755), (True, 0o4755)])
def test_set_user_id_bits_are_kept_only_with_the_owners(
    with_owners: bool, mode: int, tmp_path: Path
) -> None:
    program = member("su", mode=0o4755)
    program.uid, program.gid = os.geteuid(), os.getegid()
    how = Plan(directory=str(tmp_path), old="su", new="su")
    unpack(archive((program, b"")), how, with_owners=with_owners)
    assert (tmp_path / "su").stat().st_mode & 0o7777 == mode


@pytest.mark.parametrize("with_owners", [False, True])
def test_another_name_of_a_link_changes_nothing_of_what_the_link_leads_to(
    tmp_path: Path, *, with_owners: bool
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("secret")
    victim.chmod(0o600)
    before = victim.stat()
    root = tmp_path / "root"
    root.mkdir()
    hostile = archive(
        (member("link", tarfile.SYMTYPE, link=str(victim)), b""),
        (member("again", tarfile.LNKTYPE, link="link", mode=0o666), b""),
    )
    unpack(hostile, Plan(directory=str(root)), with_owners=with_owners)

    assert (root / "again").readlink() == victim
    after = victim.stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns, after.st_nlink) == (
        before.st_mode,
        before.st_uid,
        before.st_mtime_ns,
        before.st_nlink,
    )
