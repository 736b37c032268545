"""Which texts can name an image."""

import pytest

from manager.api.parse.image_reference import is_image_reference

DIGEST = "@sha256:" + "a" * 64
CASES = {
    "hello": True,
    "hello:1": True,
    "library/hello:v1.0-rc_1": True,
    "registry.example.org:5000/team/hello:1": True,
    "localhost/hello": True,
    "[::1]:5000/hello": True,
    "Registry.example.org/hello": True,
    "hello" + DIGEST: True,
    "hello:1" + DIGEST: True,
    "a__b/c-d.e": True,
    "": False,
    "Hello": False,
    "hello:": False,
    "hello:a b": False,
    "hello:" + "x" * 129: False,
    "-hello": False,
    "hello_": False,
    "a//b": False,
    "hello@sha256:abc": False,
    "a" * 64: False,
    "x" * 256: False,
    "hello\n": False,
    "../hello": False,
}


@pytest.mark.parametrize(("text", "expected"), CASES.items())
def test_is_image_reference(text: str, expected: object) -> None:
    assert is_image_reference(text) is expected
