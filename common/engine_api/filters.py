"""``?filters={"name": {"web": true}}``: what every list of the Engine API can be narrowed by."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from common.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Filters:
    """Accepted values by filter name; a name that is absent accepts everything."""

    values: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def get(self, name: str) -> frozenset[str]:
        """The values given for a filter, or none."""
        return self.values.get(name, frozenset())

    def accepts(self, name: str, matches: Callable[[str], bool]) -> bool:
        """Whether the filter is absent or ``matches`` holds for one of its values."""
        given = self.values.get(name)
        return given is None or any(map(matches, given))

    def accepts_labels(self, labels: Mapping[str, str], name: str = "label") -> bool:
        """Whether every ``key`` or ``key=value`` of the filter is among ``labels``."""
        wanted = (item.partition("=") for item in self.get(name))
        return all(
            key in labels and (not sign or labels[key] == value) for key, sign, value in wanted
        )

    def accepts_prefix(self, name: str, candidates: Iterable[str]) -> bool:
        """Whether the filter is absent or one of its values begins one of ``candidates``."""
        return self.accepts(name, lambda value: any(item.startswith(value) for item in candidates))


def parse_filters(text: str | None, allowed: frozenset[str]) -> Filters:
    """Reads both of Docker's forms: ``{"name": ["web"]}`` and ``{"name": {"web": true}}``.

    Raises:
        InvalidInputError: not such JSON, or a filter that is not ``allowed`` ("invalid filter 'x'").
    """
    if not text:
        return Filters()
    try:
        raw = json.loads(text)
    except ValueError:
        raise InvalidInputError("invalid filters: not JSON") from None
    if not isinstance(raw, dict):
        raise InvalidInputError("invalid filters: expected an object")
    for name in raw:
        if name not in allowed:
            raise InvalidInputError(
                f"invalid filter '{name}'", hint=f"one of {', '.join(sorted(allowed))}"
            )
    return Filters({name: _values(name, value) for name, value in raw.items()})


def _values(name: str, value: object) -> frozenset[str]:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return frozenset(value)
    if isinstance(value, dict) and all(isinstance(keep, bool) for keep in value.values()):
        return frozenset(item for item, keep in value.items() if keep)
    raise InvalidInputError(f"invalid filters: {name} must be a list of strings or a map to true")
