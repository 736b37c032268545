"""Where secrets and configs appear."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.file_targets import TARGET_CHARACTERS_MAX, FileTargetError, target_path

PLACES = {
    "a secret by its name": (("secret", "key"), "/run/secrets/key"),
    "a config by its name": (("config", "conf"), "/conf"),
    "below the directory": (("secret", "a/b"), "/run/secrets/a/b"),
    "anywhere": (("secret", "/etc/key"), "/etc/key"),
    "with slashes and dots to spare": (("config", "//etc/.//conf"), "/etc/conf"),
}


@pytest.mark.parametrize(("asked", "expected"), PLACES.values(), ids=PLACES)
def test_is_placed(asked: tuple[str, str], expected: str) -> None:
    assert target_path(*asked) == expected


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        ".",
        "a/",
        "..",
        "../x",
        "/a/../b",
        "a\0",
        "/run/secrets",
        "x" * (TARGET_CHARACTERS_MAX + 1),
    ],
)
def test_is_refused(name: str) -> None:
    with pytest.raises(FileTargetError):
        target_path("secret", name)


@given(st.sampled_from(["secret", "config"]), st.text(alphabet="./a\0", max_size=12))
def test_a_place_is_plain_and_absolute(kind: str, name: str) -> None:
    try:
        path = target_path(kind, name)
    except FileTargetError:
        return
    assert path.startswith("/")
    assert "" not in path[1:].split("/")
    assert not {".", ".."} & set(path.split("/"))
    assert path == target_path(kind, path)
