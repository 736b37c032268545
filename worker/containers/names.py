"""Names for containers that were given none: an adjective and a shape of land or water."""

from collections.abc import Callable

_ADJECTIVES = (
    "amber", "bold", "brisk", "calm", "clear", "cool", "crisp", "deep", "eager", "fair", "fleet", "gentle",
    "glad", "golden", "green", "keen", "kind", "light", "lively", "lucid", "mellow", "mild", "neat", "noble",
    "patient", "plain", "proud", "quick", "quiet", "rapid", "ready", "serene", "sharp", "silver", "smooth",
    "sober", "solid", "steady", "still", "sunny", "swift", "tidy", "warm", "wide", "wise", "witty", "young",
)  # fmt: skip
_NOUNS = (
    "atoll", "bay", "beach", "bluff", "brook", "canyon", "cape", "cave", "cliff", "coast", "cove", "creek",
    "delta", "dune", "fjord", "ford", "forest", "geyser", "glade", "glen", "grove", "harbour", "heath", "hill",
    "island", "isthmus", "lagoon", "lake", "ledge", "marsh", "meadow", "moor", "oasis", "orchard", "pass",
    "peak", "plain", "pond", "prairie", "reef", "ridge", "river", "shoal", "spring", "steppe", "strait",
    "tarn", "valley",
)  # fmt: skip
_TRIES_MAX = 32


def given_name(container_id: str, is_taken: Callable[[str], bool]) -> str:
    """A name that is free, drawn by the container's id, which is drawn by chance."""
    number = int(container_id, 16)
    for _ in range(_TRIES_MAX):
        number, adjective = divmod(number, len(_ADJECTIVES))
        number, noun = divmod(number, len(_NOUNS))
        name = f"{_ADJECTIVES[adjective]}_{_NOUNS[noun]}"
        if not is_taken(name):
            return name
    return container_id
