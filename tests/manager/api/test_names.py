"""Names for services that were given none."""

import random

import pytest

from common.errors import ConflictError
from manager.api.names import ADJECTIVES, NOUNS, unused_name
from manager.api.parse.annotations import check_name


def test_every_word_makes_a_valid_name() -> None:
    for adjective in ADJECTIVES:
        check_name(f"{adjective}_x")
    for noun in NOUNS:
        check_name(f"x_{noun}")


def test_a_name_that_is_taken_is_not_given_again() -> None:
    chance, names = random.Random(3), set[str]()
    for _ in range(500):
        name = unused_name(chance, names.__contains__)
        assert name not in names
        names.add(name)


def test_gives_up_when_everything_is_taken() -> None:
    with pytest.raises(ConflictError):
        unused_name(random.Random(3), lambda _name: True)
