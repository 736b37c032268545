"""``docker import --change``: Dockerfile instructions that set an image's config."""

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Iterable
from typing import Any

from common.errors import InvalidInputError

CHANGES_MAX = 256
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?")
_PORT_MAX = 65_535
_HEALTH_OPTIONS = {
    "--interval": "Interval",
    "--timeout": "Timeout",
    "--start-period": "StartPeriod",
    "--start-interval": "StartInterval",
    "--retries": "Retries",
}

Settings = dict[str, Any]


def settings_of(changes: Iterable[str], given: Settings | None = None) -> Settings:
    """The "config" part of an image's config after these instructions, which may change what is ``given``.

    Raises:
        InvalidInputError: an instruction that cannot stand here, or is malformed.
    """
    settings: Settings = given if given is not None else {}
    for count, change in enumerate(changes):
        if count >= CHANGES_MAX:
            raise InvalidInputError(f"more than {CHANGES_MAX} changes")
        word, _, rest = change.strip().partition(" ")
        apply = _INSTRUCTIONS.get(word.upper())
        if apply is None:
            raise InvalidInputError(f"{word.lower()} is not a valid change command")
        if not rest.strip():
            raise InvalidInputError(f"{word.upper()} requires at least one argument")
        apply(settings, rest.strip())
    return settings


def _command(text: str) -> list[str]:
    listed = _json_list(text)
    return ["/bin/sh", "-c", text] if listed is None else listed


def _json_list(text: str) -> list[str] | None:
    if not text.startswith("["):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    good = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return value if good else None


def _cmd(settings: Settings, text: str) -> None:
    settings["Cmd"] = _command(text)


def _entrypoint(settings: Settings, text: str) -> None:
    settings["Entrypoint"] = _command(text)


def _pairs(instruction: str, text: str) -> list[tuple[str, str]]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidInputError(f"{instruction}: {error}") from None
    if words and "=" not in words[0]:
        key, _, value = text.partition(" ")
        if not value.strip():
            raise InvalidInputError(f"{instruction} must have two arguments")
        return [(key, value.strip())]
    pairs = [word.partition("=") for word in words]
    for key, sign, _ in pairs:
        if not key or not sign:
            raise InvalidInputError(
                f"syntax error: can't find = in {key!r}. Must be of the form: name=value"
            )
    return [(key, value) for key, _, value in pairs]


def _env(settings: Settings, text: str) -> None:
    lines = (str(line).partition("=") for line in settings.get("Env") or ())
    env = {key: value for key, _, value in lines}
    env.update(_pairs("ENV", text))
    settings["Env"] = [f"{key}={value}" for key, value in env.items()]


def _label(settings: Settings, text: str) -> None:
    settings.setdefault("Labels", {}).update(_pairs("LABEL", text))


def _expose(settings: Settings, text: str) -> None:
    for word in text.split():
        match = _PORT.fullmatch(word)
        first = int(match[1]) if match else 0
        last = int(match[2] or first) if match else 0
        if not match or not 0 < first <= last <= _PORT_MAX:
            raise InvalidInputError(f"invalid containerPort: {word}")
        for port in range(first, last + 1):
            settings.setdefault("ExposedPorts", {})[f"{port}/{match[3] or 'tcp'}"] = {}


def _workdir(settings: Settings, text: str) -> None:
    settings["WorkingDir"] = posixpath.normpath(
        posixpath.join("/", settings.get("WorkingDir", "/"), text)
    )


def _user(settings: Settings, text: str) -> None:
    settings["User"] = text


def _volume(settings: Settings, text: str) -> None:
    for path in _json_list(text) or text.split():
        settings.setdefault("Volumes", {})[path] = {}


def _stop_signal(settings: Settings, text: str) -> None:
    settings["StopSignal"] = text


def _healthcheck(settings: Settings, text: str) -> None:
    check: Settings = {}
    while text.startswith("--"):
        option, _, text = text.partition(" ")
        name, sign, value = option.partition("=")
        text = text.strip()
        if name not in _HEALTH_OPTIONS or not sign:
            raise InvalidInputError(f"HEALTHCHECK: unknown flag {option}")
        if name == "--retries" and not value.isdigit():
            raise InvalidInputError(f"HEALTHCHECK: --retries must be a number, not {value!r}")
        check[_HEALTH_OPTIONS[name]] = int(value) if name == "--retries" else _nanoseconds(value)
    word, _, rest = text.partition(" ")
    if word.upper() == "NONE" and not rest:
        check["Test"] = ["NONE"]
    elif word.upper() == "CMD" and rest.strip():
        listed = _json_list(rest.strip())
        check["Test"] = ["CMD-SHELL", rest.strip()] if listed is None else ["CMD", *listed]
    else:
        raise InvalidInputError(f"HEALTHCHECK: unknown type {word!r}, try CMD or NONE")
    settings["Healthcheck"] = check


def _nanoseconds(text: str) -> int:
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidInputError(f"HEALTHCHECK: invalid duration {text!r}")
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))


_INSTRUCTIONS: dict[str, Callable[[Settings, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
