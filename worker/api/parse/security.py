"""``SecurityOpt`` of a create request. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from common.errors import InvalidInputError, NotImplementedHereError

_TRUE: Final = frozenset({"1", "t", "true", "T", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "false", "F", "FALSE", "False"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityOptions:
    """What the options say together."""

    no_new_privileges: bool = False
    seccomp_profile: str = ""
    """"" is the default one, "unconfined", or the JSON text of one."""
    lines: tuple[str, ...] = ()
    """As they were, to be shown."""


def security_of(lines: Iterable[str]) -> SecurityOptions:
    """Reads "no-new-privileges", "seccomp=…", "apparmor=unconfined", "label=disable"; later ones count.

    Raises:
        InvalidInputError: an option that there is not, in Docker's words.
        NotImplementedHereError: one that there is, but not here.
    """
    no_new_privileges, profile = False, ""
    for line in lines:
        name, value = _parts(line)
        match name:
            case "no-new-privileges":
                no_new_privileges = _truth(line, value)
            case "seccomp":
                profile = "" if value == "builtin" else value
            case "apparmor":
                _refuse_unless(value == "unconfined", line, "this machine's AppArmor is not used")
            case "label":
                _refuse_unless(value == "disable", line, "SELinux is not used")
            case _:
                raise InvalidInputError(f'invalid --security-opt 2: "{line}"')
    return SecurityOptions(
        no_new_privileges=no_new_privileges, seccomp_profile=profile, lines=tuple(lines)
    )


def _parts(line: str) -> tuple[str, str]:
    if line == "no-new-privileges":
        return line, "true"
    if line == "disable":
        return "label", "disable"
    places = [place for place in (line.find("="), line.find(":")) if place > 0]
    if not places:
        raise InvalidInputError(f'invalid --security-opt 1: "{line}"')
    return line[: min(places)], line[min(places) + 1 :]


def _truth(line: str, value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise InvalidInputError(f'invalid --security-opt 2: "{line}"')


def _refuse_unless(is_fine: bool, line: str, why: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not is_fine:
        raise NotImplementedHereError(f"the security option {line} is not available: {why}")
