"""Names of images, as Docker reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInputError
from worker.images.reference import id_prefix, parse_reference

DIGEST = "sha256:" + "a" * 64
GOOD = {
    "web": ("docker.io/library/web", "web", "docker.io/library/web:latest"),
    "web:1": ("docker.io/library/web:1", "web:1", "docker.io/library/web:1"),
    "team/web": ("docker.io/team/web", "team/web", "docker.io/team/web:latest"),
    "docker.io/web:1": ("docker.io/library/web:1", "web:1", "docker.io/library/web:1"),
    "index.docker.io/web:1": ("docker.io/library/web:1", "web:1", "docker.io/library/web:1"),
    "localhost/web": ("localhost/web", "localhost/web", "localhost/web:latest"),
    "host:5000/a/b:2": ("host:5000/a/b:2", "host:5000/a/b:2", "host:5000/a/b:2"),
    "reg.example/a__b/c-d.e": ("reg.example/a__b/c-d.e", "reg.example/a__b/c-d.e", "reg.example/a__b/c-d.e:latest"),
    f"web@{DIGEST}": (f"docker.io/library/web@{DIGEST}", f"web@{DIGEST}", f"docker.io/library/web@{DIGEST}"),
    f"web:1@{DIGEST}": (f"docker.io/library/web:1@{DIGEST}", f"web:1@{DIGEST}", f"docker.io/library/web:1@{DIGEST}"),
    "library/web": ("docker.io/library/web", "web", "docker.io/library/web:latest"),
}  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_full_and_familiar_form_and_default_tag(text: str) -> None:
    full, familiar, tagged = GOOD[text]

    found = parse_reference(text)

    assert (str(found), found.familiar, str(found.tagged())) == (full, familiar, tagged)


BAD = {
    "": "invalid reference format",
    "Web": r"repository name \(library/Web\) must be lowercase",
    "web:": "invalid reference format",
    ":1": "invalid reference format",
    "web:a b": "invalid reference format",
    "web:" + "t" * 129: "invalid reference format",
    "web@sha256:12": "invalid reference format",
    "-web": "invalid reference format",
    "a//b": "invalid reference format",
    "web/": "invalid reference format",
    "../web": "invalid reference format",
    "a" * 64: "cannot specify 64-byte hexadecimal strings",
    "b/" + "c" * 260: "must not be more than 255 characters",
    "web\n": "invalid reference format",
}


@pytest.mark.parametrize("text", BAD)
def test_refuses(text: str) -> None:
    with pytest.raises(InvalidInputError, match=BAD[text]):
        parse_reference(text)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_and_what_is_read_stays_the_same(text: str) -> None:
    try:
        found = parse_reference(text)
    except InvalidInputError:
        return

    assert parse_reference(str(found)) == found
    assert parse_reference(found.familiar) == found


def test_what_may_be_the_beginning_of_an_id() -> None:
    assert id_prefix("sha256:abc1") == id_prefix("abc1") == "abc1"
    assert id_prefix("xyz") is None
    assert id_prefix("") is None
