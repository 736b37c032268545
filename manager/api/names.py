"""A name for a service that was given none."""

import random  # noqa: TID251 - only named as a type
from collections.abc import Callable

from common.errors import ConflictError

PLAIN_ATTEMPTS_MAX = 5
ATTEMPTS_MAX = 20

_ADJECTIVES = """
agile amber bold brave bright brisk calm candid clever cosmic crisp eager early fair fleet frosty gentle
golden grand happy hardy humble jolly keen kind lively lucid lucky mellow merry mild modest nimble noble
patient plucky polite proud quick quiet rapid ready serene sharp silver smooth snug solid spry steady stoic
sunny swift tidy tranquil trusty upbeat vivid warm wise witty zesty
"""
_NOUNS = """
acorn anchor aspen badger beacon birch breeze brook canyon cedar comet coral crane delta dune eagle elm ember
falcon fern finch fjord forest fox glacier glade grove harbor hawk hazel heron hill iris island ivy juniper
lagoon lake lark linden lotus lynx maple marten meadow mesa moss oak orchid osprey otter panda pebble pine
plover quartz rain raven reef ridge river robin sparrow spruce stone summit swan tiger tulip valley willow
wren
"""
ADJECTIVES, NOUNS = tuple(_ADJECTIVES.split()), tuple(_NOUNS.split())


def random_name(chance: random.Random) -> str:
    """Something like ``brisk_otter``; the caller asks again when it is taken."""
    return f"{chance.choice(ADJECTIVES)}_{chance.choice(NOUNS)}"


def unused_name(chance: random.Random, is_taken: Callable[[str], bool]) -> str:
    """A random name that nobody has; with a number once such names become rare."""
    for attempt in range(ATTEMPTS_MAX):
        name = random_name(chance)
        if attempt >= PLAIN_ATTEMPTS_MAX:
            name = f"{name}{chance.randrange(10**6)}"
        if not is_taken(name):
            return name
    raise ConflictError("no free name was found", hint="give the service a name")
