"""Keeps what clients did in a file, line by line as it happens, so that it is there whatever happens to the test.

Each line is a JSON object: ``{"call": 7, "at": …, "client": …, "key": …, "kind": "Swap", …}`` when an operation begins,
``{"end": 7, "at": …, "outcome": "done" | "unknown" | "nothing", …}`` when its outcome is known. One that has no end
was under way when the test ended.
"""

import itertools
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from integration.linearizability import Action, Operation, Read, Refusal, Swap, Write

_KINDS: dict[str, type[Action]] = {kind.__name__: kind for kind in (Read, Refusal, Swap, Write)}


class Recorder:
    """Writes a history. Clients of one process share it: its times are of one clock."""

    def __init__(self, path: Path) -> None:
        """An empty history in that file, whatever was in it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("w", encoding="utf-8")
        self._numbers = itertools.count()
        self.writes: list[tuple[float, float]] = []
        """When acknowledged writes were called and when they returned, the latest last."""

    def __enter__(self) -> Self:
        """Nothing more: the file is open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the file."""
        self._file.close()

    def begin(self, client: str, key: str, action: Action | type[Read]) -> "Pending":
        """An operation begins; of a read it is not known yet what it will see."""
        number = next(self._numbers)
        kind = action.__name__ if isinstance(action, type) else type(action).__name__
        values = {} if isinstance(action, type) else asdict(action)
        now = self.add({"call": number, "client": client, "key": key, "kind": kind, **values})
        return Pending(self, number, None if isinstance(action, type) else now)

    def add(self, line: dict[str, Any]) -> float:
        """Adds a line; gives the moment that stands in it."""
        now = time.monotonic()
        self._file.write(json.dumps({"at": now, **line}, separators=(",", ":")) + "\n")
        self._file.flush()
        return now


class Pending:
    """An operation that has begun. Exactly one of its methods is to be called; none means unknown, too."""

    def __init__(self, recorder: Recorder, number: int, write_called: float | None) -> None:
        self._recorder, self._number, self._write_called = recorder, number, write_called

    def done(self, **seen: Any) -> None:
        """It happened; of a read, ``value`` is what it saw."""
        now = self._end("done", **seen)
        if self._write_called is not None:
            self._recorder.writes.append((self._write_called, now))

    def unknown(self, why: str) -> None:
        """It may have happened, or may still happen."""
        self._end("unknown", why=why)

    def nothing(self, why: str) -> None:
        """It did not happen and never will."""
        self._end("nothing", why=why)

    def _end(self, outcome: str, **more: Any) -> float:
        return self._recorder.add({"end": self._number, "outcome": outcome, **more})


def read_history(path: Path) -> list[Operation]:
    """What may have happened, in the order of calls."""
    return operations_of(path.read_text(encoding="utf-8").splitlines())


def operations_of(lines: Iterable[str]) -> list[Operation]:
    """The same, out of the lines of such a file; a last line that is cut off counts as not written."""
    calls: dict[int, dict[str, Any]] = {}
    ends: dict[int, dict[str, Any]] = {}
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            break
        if "call" in event:
            calls[event["call"]] = event
        else:
            ends[event["end"]] = event
    return [
        _operation(call, end)
        for number, call in calls.items()
        if (end := ends.get(number, {})).get("outcome") != "nothing"
        and (call["kind"] != "Read" or end.get("outcome") == "done")
    ]


def _operation(call: dict[str, Any], end: dict[str, Any]) -> Operation:
    kind = _KINDS[call["kind"]]
    both = call | end
    action = kind(**{field: both[field] for field in kind.__dataclass_fields__})
    is_done = end.get("outcome") == "done"
    return Operation(
        client=call["client"],
        key=call["key"],
        action=action,
        called=call["at"],
        returned=end["at"] if is_done else None,
    )


def acknowledged(history: Sequence[Operation]) -> list[Operation]:
    """The writes that were acknowledged."""
    return [
        one for one in history if isinstance(one.action, Swap | Write) and one.returned is not None
    ]
