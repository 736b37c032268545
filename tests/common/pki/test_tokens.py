import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInputError
from common.pki.tokens import (
    JoinToken,
    digest_of,
    is_same_token,
    new_token,
    parse_token,
)

ROOT = b"-----BEGIN CERTIFICATE-----\n..."
DIGEST = "0" * 49 + "1"
SECRET = "2" * 25


def test_a_token_is_written_as_dockers() -> None:
    text = str(new_token(ROOT))
    assert re.fullmatch(r"SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}", text)


def test_two_tokens_have_different_secrets() -> None:
    assert new_token(ROOT).secret != new_token(ROOT).secret


@given(st.integers(0, 2**256 - 1))
def test_a_token_reads_as_what_it_was(digest: int) -> None:
    token = JoinToken(root_digest=digest, secret=SECRET)
    assert parse_token(f" {token}\n") == token


def test_a_token_knows_its_root_from_another() -> None:
    token = parse_token(str(new_token(ROOT)))
    assert token.is_for(ROOT)
    assert not token.is_for(ROOT + b"\n")


def test_a_token_of_dockers_reads() -> None:
    text = "SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-1awxwuwd3z9j1z3puu7rcgdbx"
    token = parse_token(text)
    assert token.secret == "1awxwuwd3z9j1z3puu7rcgdbx"
    assert token.root_digest < 2**256
    assert str(token) == text


def test_a_tokens_secret_does_not_show_in_its_representation() -> None:
    token = new_token(ROOT)
    assert token.secret not in repr(token)


WRONG = {
    "nothing": ("", "does not begin with SWMTKN-1-"),
    "another word": (f"TOKEN-1-{DIGEST}-{SECRET}", "does not begin with SWMTKN-1-"),
    "an endless word": ("SWMTKN-1-" + "x" * 100_000, "does not begin with SWMTKN-1-"),
    "a newer version": (f"SWMTKN-2-1-{DIGEST}-{SECRET}", "only version 1 is known"),
    "a part too few": (f"SWMTKN-1-{DIGEST}", "does not have four parts"),
    "a part too many": (f"SWMTKN-1-{DIGEST}-{SECRET}-", "does not have four parts"),
    "a cut digest": (f"SWMTKN-1-{DIGEST[1:]}-{SECRET}", "its digest has 49 characters, not 50"),
    "a cut secret": (f"SWMTKN-1-{DIGEST}-{SECRET[1:]}", "its secret has 24 characters, not 25"),
    "capital letters": (f"SWMTKN-1-{DIGEST}-{'A' * 25}", "its secret has characters that are"),
    "other digits": (f"SWMTKN-1-{DIGEST}-{'²' * 25}", "its secret has characters that are"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_says_what_is_wrong_with_a_token_and_not_what_stands_in_it(text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(message)) as told:
        parse_token(text)
    assert SECRET not in str(told.value)


def test_the_empty_token_is_nobodys() -> None:
    assert not is_same_token("", "")
    assert is_same_token("a", "a")
    assert not is_same_token("a", "b")


def test_a_digest_is_sha_256() -> None:
    assert f"{digest_of(b''):064x}".startswith("e3b0c44298fc1c14")
