"""Trees into archives and back; archives that lead out, and links in their way."""

import io
import os
import socket
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import InvalidInputError, NotImplementedHereError, SystemFailureError
from tests.support.archives import directory, entry, file, hardlink, symlink, tar
from worker.images.archive import Meter, entries
from worker.trees.extract import Extraction, Extractor
from worker.trees.pack import Packer


def packed(root: Path, name: str = "top", **how: Any) -> bytes:
    out = io.BytesIO()
    descriptor = os.open(root, os.O_PATH)
    packer = Packer(out.write)
    try:
        packer.tree(descriptor, name, **how)
    finally:
        os.close(descriptor)
    packer.finish()
    return out.getvalue()


def extract(archive: bytes, root: Path, **how: Any) -> None:
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY)
    owner = (os.getuid(), os.getgid())
    extractor = Extractor(descriptor, Extraction(owner=owner, **how))
    meter = Meter(io.BytesIO(archive), bytes_max=2**40, hashed=False)
    try:
        for one in entries(meter, entries_max=100):
            extractor.make(one, meter)
        extractor.finish()
    finally:
        os.close(descriptor)


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A directory to extract into; what lies beside it must stay as it is."""
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside/f").write_text("as it was")
    (tmp_path / "root").mkdir()
    yield tmp_path / "root"
    assert names(tmp_path / "beside") == ["f"]
    assert (tmp_path / "beside/f").read_text() == "as it was"


def test_there_and_back(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "d/e").mkdir(parents=True)
    (first / "d/f").write_bytes(b"content" * 1000)
    (first / "d/g").hardlink_to(first / "d/f")
    (first / "d/l").symlink_to("../nowhere")
    os.mkfifo(first / "d/p")
    os.utime(first / "d/f", (1000, 1000))
    os.utime(first / "d", (2000, 2000))
    (first / "d/f").chmod(0o4711)
    second.mkdir()

    extract(packed(first, "."), second)

    assert names(second) == names(first)
    made = (second / "d/f").stat()
    assert (made.st_mode & 0o7777, made.st_mtime, made.st_nlink) == (0o4711, 1000, 2)
    assert (second / "d").stat().st_mtime == 2000
    assert (second / "d/l").readlink() == Path("../nowhere")
    assert (second / "d/f").read_bytes() == b"content" * 1000


SHOWN: dict[str, tuple[str, dict[str, bool], list[str]]] = {
    "under a name": ("top", {}, ["top", "top/f"]),
    "as the directory itself": (".", {}, [".", "./f"]),
    "as a root": ("/", {}, ["/", "/f"]),
    "without itself": ("", {"with_root": False}, ["f"]),
}


@pytest.mark.parametrize("case", SHOWN)
def test_names_in_the_archive(tmp_path: Path, case: str) -> None:
    name, how, expected = SHOWN[case]
    (tmp_path / "f").touch()

    data = packed(tmp_path, name, **how)

    raw = [data[start : start + 100].rstrip(b"\0").decode() for start in (0, 512)]
    assert [one if one == "/" else one.rstrip("/") for one in raw if one] == expected


def test_odd_names_and_long_ones_survive(tmp_path: Path, root: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    for name in (b"\xff\xfe", "ä".encode(), b"x" * 200, b"new\nline"):
        Path(os.fsdecode(os.fsencode(made) + b"/" + name)).write_bytes(name)

    extract(packed(made, "."), root)

    assert names(root) == names(made)


def test_a_socket_is_left_out_also_when_it_is_all_that_was_asked_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
    out = io.BytesIO()
    packer = Packer(out.write)
    held = os.open(tmp_path / "s", os.O_PATH)
    packer.held(held, os.fstat(held), b"s")
    packer.finish()
    os.close(held)

    for archive in (out.getvalue(), packed(tmp_path)):
        with tarfile.open(fileobj=io.BytesIO(archive)) as found:
            assert "s" not in "".join(found.getnames()).removeprefix("top")


def test_a_file_that_shrinks_breaks_the_archive_off(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(5 * 1024 * 1024))
    out: list[bytes] = []

    def write(data: bytes) -> None:
        out.append(data)
        if len(data) > 1024:  # the first of its content
            os.truncate(tmp_path / "f", 10)

    root = os.open(tmp_path, os.O_PATH)
    with pytest.raises(SystemFailureError, match="shrank while it was read"):
        Packer(write).tree(root, "top")
    os.close(root)


REFUSED: dict[str, tuple[bytes, type[Exception], str]] = {
    "above the directory": (tar(file("../beside/f")), InvalidInputError, "outside"),
    "a hard link to above": (tar(hardlink("h", "../beside/f")), InvalidInputError, "outside"),
    "a device": (tar(entry("d", kind=tarfile.CHRTYPE)), NotImplementedHereError, "device"),
    "through an absolute link of its own": (
        tar(symlink("l", "/"), file("l/f")),
        InvalidInputError,
        "leads out",
    ),
    "through a relative one": (
        tar(symlink("l", "../beside"), file("l/f", b"other")),
        InvalidInputError,
        "leads out",
    ),
    "a link as the directory above a hard link": (
        tar(symlink("l", "../beside"), hardlink("h", "l/f")),
        InvalidInputError,
        "leads out",
    ),
    "a file as the directory itself": (tar(file("./")), InvalidInputError, "not a file's name"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_leads_out_is_refused(root: Path, case: str) -> None:
    archive, kind, reason = REFUSED[case]

    with pytest.raises(kind, match=reason):
        extract(archive, root)


def test_a_link_that_stays_inside_is_followed(root: Path) -> None:
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")

    extract(tar(file("lib/f", b"x")), root)

    assert (root / "usr/lib/f").read_bytes() == b"x"


def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(root: Path) -> None:
    (root / "f").symlink_to(root.parent / "beside/f")
    (root / "d").symlink_to(root.parent / "beside")

    extract(tar(file("f", b"new"), directory("d"), file("d/f", b"new")), root)

    assert not (root / "f").is_symlink()
    assert not (root / "d").is_symlink()
    assert (root / "d/f").read_bytes() == b"new"


STRICT: dict[str, tuple[bytes, str]] = {
    "a file for a directory": (
        tar(file("d")),
        'cannot overwrite directory "d" with non-directory "d"',
    ),
    "a directory for a file": (
        tar(directory("f")),
        'cannot overwrite non-directory "f" with directory "f"',
    ),
}


@pytest.mark.parametrize("case", STRICT)
def test_kinds_are_kept_on_request(root: Path, case: str) -> None:
    archive, reason = STRICT[case]
    (root / "d/below").mkdir(parents=True)
    (root / "f").touch()

    with pytest.raises(InvalidInputError, match=reason):
        extract(archive, root, is_strict=True)
    extract(archive, root)

    assert (root / "d").is_dir() == (root / "f").is_dir()


NAMES = st.sampled_from(
    ["a", "b", "a/b", "a/b/c", "b/a", "../beside/f", "/a", "./b", "a/../b", "."]
)
TARGETS = st.sampled_from(["a", "b", "..", "../beside", "../beside/f", "/", "a/b", "../root/a", ""])


@st.composite
def members(draw: st.DrawFn) -> list[tuple[tarfile.TarInfo, bytes]]:
    made = []
    for _ in range(draw(st.integers(1, 6))):
        name, target = draw(NAMES), draw(TARGETS)
        any_kind = [file(name), directory(name), symlink(name, target), hardlink(name, target)]
        made.append(draw(st.sampled_from(any_kind)))
    return made


@given(members(), st.booleans())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_archive_reaches_what_lies_beside(
    tmp_path: Path, archive: list[tuple[tarfile.TarInfo, bytes]], is_strict: bool
) -> None:
    """Whatever links, names and kinds an archive puts together, each entry by itself."""
    with tempfile.TemporaryDirectory(dir=tmp_path) as place:
        (Path(place) / "beside").mkdir()
        (Path(place) / "beside/f").write_text("as it was")
        root = Path(place) / "root"
        root.mkdir()
        for member in archive:
            with suppress(InvalidInputError):
                extract(tar(member), root, is_strict=is_strict)

        assert names(Path(place) / "beside") == ["f"]
        assert (Path(place) / "beside/f").read_text() == "as it was"
        assert (Path(place) / "beside/f").stat().st_nlink == 1
        assert sorted(one.name for one in Path(place).iterdir()) == ["beside", "root"]
