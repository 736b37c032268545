"""The keys that let go of a container without ending it (``detachKeys``): found in a terminal's input. Pure."""

from dataclasses import dataclass
from typing import Final

from common.errors import InvalidInputError

DEFAULT_DETACH_KEYS: Final = "ctrl-p,ctrl-q"
_CONTROL: Final = {
    f"ctrl-{key}": bytes([code]) for code, key in enumerate("@abcdefghijklmnopqrstuvwxyz[\\]^_")
}


def detach_sequence(text: str) -> bytes:
    """The bytes of "ctrl-p,ctrl-q" or "a,b"; "" is Docker's default.

    Raises:
        InvalidInputError: a key that there is not.
    """
    keys = []
    for name in (text or DEFAULT_DETACH_KEYS).split(","):
        if len(name) == 1 and name.isascii():
            keys.append(name.encode())
        elif (key := _CONTROL.get(name)) is not None:
            keys.append(key)
        else:
            raise InvalidInputError(
                f"Invalid escape keys ({text}) provided", hint="as in ctrl-p,ctrl-q"
            )
    return b"".join(keys)


@dataclass(slots=True)
class DetachKeys:
    """Follows input for a sequence of keys, and holds back what may be its beginning."""

    sequence: bytes
    _matched: int = 0

    def take(self, data: bytes) -> tuple[bytes, bool]:
        """What of it is for the process, and whether the sequence has come: what follows it is for nobody."""
        passed = bytearray()
        for byte in data:
            if byte == self.sequence[self._matched]:
                self._matched += 1
                if self._matched == len(self.sequence):
                    self._matched = 0
                    return bytes(passed), True
                continue
            self._give_back(passed)
            if byte == self.sequence[0] and len(self.sequence) > 1:
                self._matched = 1
            else:
                passed.append(byte)
        return bytes(passed), False

    def rest(self) -> bytes:
        """What was held back, at the end of the input."""
        held = bytearray()
        self._give_back(held)
        return bytes(held)

    def _give_back(self, passed: bytearray) -> None:
        passed += self.sequence[: self._matched]
        self._matched = 0
