"""Structured logs: one line a record, ``time=… level=… logger=… msg="…" key=value …`` (logfmt), on stderr."""

import logging
import sys
from typing import TextIO

from typing_extensions import override

from common.engine_json import rfc3339

LEVELS = ("debug", "info", "warn", "error", "fatal")
"""dockerd's names for ``--log-level``."""
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_NOISY = frozenset({"asyncio", "pyroute2", "aiohttp"})
MAX_VALUE_CHARACTERS = 4096
"""A longer value is cut, so that nothing from outside can flood the log."""


class LogfmtFormatter(logging.Formatter):
    """Writes a record with its ``extra`` fields."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": rfc3339(record.created),
            "level": "warn" if record.levelno == logging.WARNING else record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        fields |= {key: value for key, value in vars(record).items() if key not in _PLAIN}
        line = " ".join(f"{key}={_quoted(str(value))}" for key, value in fields.items())
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _quoted(text: str) -> str:
    if len(text) > MAX_VALUE_CHARACTERS:
        text = text[:MAX_VALUE_CHARACTERS] + "…"
    if text and text.isprintable() and not any(character in text for character in ' "=\\'):
        return text
    escaped = (
        text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    )
    return f'"{escaped}"'


def set_up_logging(level: str, stream: TextIO | None = None) -> None:
    """Sends every record from ``level`` on to ``stream`` (stderr); called again, it replaces the former set-up."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LogfmtFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel({"warn": logging.WARNING, "fatal": logging.CRITICAL}.get(level, level.upper()))
    handler.addFilter(_is_wanted)


def _is_wanted(record: logging.LogRecord) -> bool:
    """Libraries tell of warnings only: asked here and not by their loggers' levels, which they set when imported."""
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] not in _NOISY
