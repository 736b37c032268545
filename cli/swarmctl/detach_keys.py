"""The keys by which a user leaves a container alone that goes on: "ctrl-p,ctrl-q". Pure."""

DEFAULT_KEYS = "ctrl-p,ctrl-q"
_CONTROLS = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse_keys(text: str) -> bytes:
    r"""The bytes that a terminal sends for such keys: characters, or ``ctrl-`` with a letter or one of ``@[\\]^_``.

    Raises:
        ValueError: one of them is none; the text is docker's.
    """
    return bytes(_key(word) for word in text.split(",")) if text else b""


def _key(word: str) -> int:
    if len(word) == 1 and word.isascii():
        return ord(word)
    prefix, _, letter = word.partition("-")
    if prefix.lower() == "ctrl":
        if len(letter) == 1 and "a" <= letter.lower() <= "z":
            return ord(letter.lower()) - ord("a") + 1
        if letter in _CONTROLS:
            return _CONTROLS[letter]
    raise ValueError(f"Unknown character: '{word}'")


class DetachKeys:
    """Looks for the keys in what is typed; keeps back what may be the beginning of them."""

    def __init__(self, keys: bytes) -> None:
        self._keys, self._seen = keys, 0

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """What goes to the container, and whether the keys are complete: then nothing more does."""
        passed = bytearray()
        for byte in typed:
            if self._seen and byte != self._keys[self._seen]:
                passed += self._keys[: self._seen]
                self._seen = 0
            if self._keys and byte == self._keys[self._seen]:
                self._seen += 1
                if self._seen == len(self._keys):
                    return bytes(passed), True
            else:
                passed.append(byte)
        return bytes(passed), False
