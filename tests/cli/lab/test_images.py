import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from cli.lab import images

ROOT = Path(__file__).resolve().parents[3]


def members(archive: bytes) -> dict[str, tuple[bytes, int, str, bytes, float]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {
            item.name: (
                item.type,
                0 if item.issym() else item.mode,
                item.linkname,
                (tar.extractfile(item) or io.BytesIO()).read() if item.isreg() else b"",
                item.mtime,
            )
            for item in tar
            if item.name != "."
        }


def test_holds_the_same_files_as_the_example() -> None:
    try:
        built = subprocess.run(
            [ROOT / "examples/hello/build.sh"], capture_output=True, check=True
        ).stdout
    except subprocess.CalledProcessError as error:
        pytest.skip(error.stderr.decode())
    assert members(images.archive()) == members(built)


def test_the_same_files_are_the_same_archive() -> None:
    assert images.pack(b"x", ["sh"], b"y") == images.pack(b"x", ["sh"], b"y")


def test_the_examples_script_is_the_one_of_the_package() -> None:
    example = ROOT / "examples/hello/serve"
    assert example.resolve() == (ROOT / "cli/lab/serve").resolve()


def test_healthchecks_as_the_quickstart() -> None:
    text = (ROOT / "quickstart.sh").read_text()
    assert [line for line in images.HELLO_CHANGES if f"'{line}'" not in text] == []
