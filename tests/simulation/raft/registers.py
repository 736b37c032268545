"""The state machine of the simulation: registers that are set and compared, and requests that apply once.

Every answer tells at which index the request took effect, so that the log's order bears witness to what clients saw.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from manager.raft.log import REQUESTS_REMEMBERED

ITEMS_PER_PART = 10
FILLER = "." * 40
"""Makes snapshots have many parts."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got."""

    index: int
    """Where it took effect."""
    done: bool
    """False: it compared, and found something else."""


def pack_set(key: str, value: str) -> bytes:
    """An entry that sets a register."""
    return json.dumps([key, value]).encode()


def pack_compare_and_set(key: str, expected: str | None, value: str) -> bytes:
    """An entry that sets a register which holds what is expected."""
    return json.dumps([key, value, expected]).encode()


def read_answer(answer: bytes) -> Answer:
    """The answer as the machine gave it."""
    index, done = json.loads(answer)
    return Answer(index, done)


class Registers:
    """``manager.raft.log.StateMachine`` of one life of one member."""

    def __init__(
        self,
        applied: Callable[[int, bytes, bytes, bytes, bool], None],
        restored: Callable[[int, str], None],
        asked_for_snapshot: Callable[[], None],
    ) -> None:
        self._tell_applied, self._tell_restored = applied, restored
        self._tell_snapshot = asked_for_snapshot
        self.index = 0
        self.values: dict[str, str] = {}
        self._answered: OrderedDict[bytes, bytes] = OrderedDict()

    def apply(self, index: int, request_id: bytes, entry: bytes) -> bytes:
        answer = self._answered.get(request_id)
        is_new = answer is None
        if answer is None:
            answer = json.dumps([index, self._take(entry)]).encode()
            self._answered[request_id] = answer
            if len(self._answered) > REQUESTS_REMEMBERED:
                self._answered.popitem(last=False)
        self.index = index
        self._tell_applied(index, request_id, entry, answer, is_new)
        return answer

    def snapshot(self) -> Iterator[bytes]:
        self._tell_snapshot()
        return self._parts(self.index, dict(self.values), self._remembered())

    def restore(self, parts: Iterable[bytes]) -> Callable[[], None]:
        decoded = [json.loads(part) for part in parts]
        index, answers = decoded[0]
        values = [item for part in decoded[1:] for item in part["values"]]

        def swap() -> None:
            self.index = index
            self.values = {key: value for key, value, _ in values}
            self._answered = OrderedDict(
                (bytes.fromhex(request_id), answer.encode()) for request_id, answer in answers
            )
            self._tell_restored(index, self.digest())

        return swap

    def digest(self) -> str:
        """The whole state in a comparable form."""
        return json.dumps([self.index, sorted(self.values.items())])

    def _remembered(self) -> "OrderedDict[bytes, bytes]":
        return OrderedDict(self._answered)

    def _take(self, entry: bytes) -> bool:
        key, value, *expected = json.loads(entry)
        if expected and self.values.get(key) != expected[0]:
            return False
        self.values[key] = value
        return True

    @staticmethod
    def _parts(
        index: int, values: dict[str, str], answered: "OrderedDict[bytes, bytes]"
    ) -> Iterator[bytes]:
        yield json.dumps(
            [
                index,
                [(request_id.hex(), answer.decode()) for request_id, answer in answered.items()],
            ]
        ).encode()
        items = sorted(values.items())
        for start in range(0, max(len(items), 1), ITEMS_PER_PART):
            part = [(key, value, FILLER) for key, value in items[start : start + ITEMS_PER_PART]]
            yield json.dumps({"values": part}).encode()
