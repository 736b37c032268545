"""Pure: where a container's output goes, and in which form, out of its log driver and its options.

How to add a driver: a table of its options here, a form in ``worker.runtime.output`` or a sink in
``worker.runtime.journal``, and a reader in ``log_files`` or beside ``journal_reader``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from common.errors import InvalidInputError, NotImplementedHereError
from common.model.container_spec import Driver
from worker.containers.record import Container
from worker.runtime.bundle import LogOptions

JSON_FILE: Final = "json-file"
LOCAL: Final = "local"
JOURNALD: Final = "journald"
NONE: Final = "none"
DRIVERS: Final = (JOURNALD, JSON_FILE, LOCAL, NONE)
JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"

DEFAULT_LOG_BYTES_MAX: Final = 10 * 1000 * 1000
DEFAULT_LOG_FILES_MAX: Final = 3
LOCAL_LOG_BYTES_MAX: Final = 20 * 1000 * 1000
LOCAL_LOG_FILES_MAX: Final = 5
LOG_FILES_MAX: Final = 1000
PATTERN_CHARACTERS_MAX: Final = 256
_SHORT_ID: Final = 12
_SIZES: Final = {
    "": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "kb": 10**3, "mb": 10**6, "gb": 10**9,
}  # fmt: skip
_PLACEHOLDERS: Final = frozenset(
    {"ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "DaemonName"}
)
_PLACEHOLDER: Final = re.compile(r"\{\{\s*\.([A-Za-z]+)\s*\}\}")
_OF_DELIVERY: Final = frozenset({"mode", "max-buffer-size"})
_OF_ATTRIBUTES: Final = frozenset({"tag", "labels", "labels-regex", "env", "env-regex"})
_OF_FILES: Final = frozenset({"max-size", "max-file", "compress"})
_OPTIONS: Final = {
    JSON_FILE: _OF_FILES | _OF_ATTRIBUTES | _OF_DELIVERY,
    LOCAL: _OF_FILES | _OF_ATTRIBUTES | _OF_DELIVERY,
    JOURNALD: _OF_ATTRIBUTES | _OF_DELIVERY,
    NONE: _OF_DELIVERY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFacts:
    """What a driver says of a container: its placeholders, labels and variables."""

    placeholders: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


def driver_name(driver: Driver | None) -> str:
    """The driver's name, the default one's where none is named."""
    return (driver.name if driver else "") or JSON_FILE


def log_file_name(driver: Driver | None, container_id: str) -> str:
    """The name of its file, below the container's directory: Docker's own where programs look for it."""
    return f"{container_id}-json.log" if driver_name(driver) == JSON_FILE else "container.log"


def facts_of(container: Container) -> LogFacts:
    """What can be said of a container."""
    config = container.config
    return LogFacts(
        placeholders={
            "ID": container.id[:_SHORT_ID],
            "FullID": container.id,
            "Name": config.name,
            "ImageID": container.image_id.removeprefix("sha256:")[:_SHORT_ID],
            "ImageFullID": container.image_id,
            "ImageName": config.spec.image,
            "DaemonName": "swarmd",
        },
        labels=config.labels,
        env=dict(line.split("=", 1) for line in container.env if "=" in line),
    )


def log_options_of(
    driver: Driver | None, *, path: str, facts: LogFacts | None = None
) -> LogOptions:
    """Where output goes, when it rotates, and what is said with each line.

    Raises:
        InvalidInputError: a driver or an option that there is not.
        NotImplementedHereError: an option that is refused.
    """
    name = driver_name(driver)
    options: Mapping[str, str] = driver.options if driver else {}
    known = _OPTIONS.get(name)
    if known is None:
        raise InvalidInputError(
            f"logger: no log driver named '{name}' is registered",
            hint=f"use one of {', '.join(DRIVERS)}",
        )
    for option in options:
        if option not in known:
            raise InvalidInputError(f"unknown log opt '{option}' for {name} log driver")
    _check_delivery(options)
    said = _attributes(options, facts or LogFacts())
    if name == NONE:
        return LogOptions(path="", driver=NONE)
    if name == JOURNALD:
        fields = _journal_fields(facts or LogFacts(), said)
        return LogOptions(path=JOURNAL_SOCKET, driver=JOURNALD, attributes=fields)
    is_local = name == LOCAL
    return LogOptions(
        path=path,
        max_bytes=_bytes(
            options, "max-size", LOCAL_LOG_BYTES_MAX if is_local else DEFAULT_LOG_BYTES_MAX
        ),
        max_files=_files(options, LOCAL_LOG_FILES_MAX if is_local else DEFAULT_LOG_FILES_MAX),
        driver=name,
        attributes=said,
    )


def _check_delivery(options: Mapping[str, str]) -> None:
    """A log never holds its container up: "non-blocking" is what there is, and "blocking" loses nothing by it."""
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidInputError(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" in options:
        if mode != "non-blocking":
            raise InvalidInputError(
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
            )
        _bytes(options, "max-buffer-size", 0)
    if options.get("compress", "false").lower() not in ("false", "0", "f"):
        raise NotImplementedHereError("compressed log files (compress=true) are not available")


def _files(options: Mapping[str, str], default: int) -> int:
    files = options.get("max-file", str(default))
    if not files.isascii() or not files.isdigit() or not 1 <= int(files) <= LOG_FILES_MAX:
        raise InvalidInputError(
            f"invalid value for max-file: {files}", hint=f"1 to {LOG_FILES_MAX}"
        )
    return int(files)


def _bytes(options: Mapping[str, str], option: str, default: int) -> int:
    text = options.get(option)
    if text is None:
        return default
    if text == "-1":
        return 0
    number = text.rstrip("bBkKmMgG")
    unit = _SIZES.get(text[len(number) :].lower())
    if not number.isascii() or not number.isdigit() or unit is None or int(number) == 0:
        raise InvalidInputError(f"invalid value for {option}: {text}", hint="such as 10m")
    return int(number) * unit


# ------------------------------------------------------------------------------------ attributes


def _attributes(options: Mapping[str, str], facts: LogFacts) -> dict[str, str]:
    said = _chosen(options, "labels", facts.labels) | _chosen(options, "env", facts.env)
    if "tag" in options:
        said["tag"] = tag_of(options["tag"], facts)
    return said


def _chosen(options: Mapping[str, str], option: str, values: Mapping[str, str]) -> dict[str, str]:
    names = {name.strip() for name in options.get(option, "").split(",")}
    matches = _pattern(options, f"{option}-regex")
    return {key: value for key, value in values.items() if key in names or matches(key)}


def _pattern(options: Mapping[str, str], option: str) -> Callable[[str], bool]:
    text = options.get(option, "")
    if not text:
        return lambda _key: False
    if len(text) > PATTERN_CHARACTERS_MAX:
        raise InvalidInputError(f"{option} is longer than {PATTERN_CHARACTERS_MAX} characters")
    try:
        found = re.compile(text)
    except re.error as error:
        raise InvalidInputError(f"invalid value for {option}: {text}: {error}") from error
    return lambda key: found.search(key) is not None


def tag_of(template: str, facts: LogFacts) -> str:
    """A tag with its placeholders filled in: ``{{.Name}}/{{.ID}}``.

    Raises:
        InvalidInputError: there is no such placeholder.
    """

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in _PLACEHOLDERS:
            raise InvalidInputError(f"invalid log tag {template!r}: there is no .{name}")
        return facts.placeholders.get(name, "")

    filled = _PLACEHOLDER.sub(fill, template)
    if "{{" in filled:
        raise InvalidInputError(f"invalid log tag {template!r}")
    return filled


def _journal_fields(facts: LogFacts, said: Mapping[str, str]) -> dict[str, str]:
    """The fields of Docker's journald driver."""
    known = facts.placeholders
    tag = said.get("tag") or known.get("ID", "")
    chosen = {
        re.sub(r"[^A-Z0-9_]", "_", key.upper()).lstrip("_"): value
        for key, value in said.items()
        if key != "tag"
    }
    return {
        **{key: value for key, value in chosen.items() if key},
        "CONTAINER_ID": known.get("ID", ""),
        "CONTAINER_ID_FULL": known.get("FullID", ""),
        "CONTAINER_NAME": known.get("Name", ""),
        "CONTAINER_TAG": tag,
        "IMAGE_NAME": known.get("ImageName", ""),
        "SYSLOG_IDENTIFIER": tag,
    }
