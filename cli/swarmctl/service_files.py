"""The ids of secrets and configs that a service's spec names: the API wants both."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Spec = dict[str, Any]
LookUp = Callable[[str, Sequence[str]], Iterable[dict[str, Any]]]
"""The secrets or configs (``secrets``, ``configs``) of these names, as the API shows them."""


def with_ids(spec: Spec, look_up: LookUp) -> Spec:
    """The spec, with the ids filled in where they are missing.

    Raises:
        ValueError: there is no secret or config of some name.
    """
    container = spec.get("TaskTemplate", {}).get("ContainerSpec", {})
    for noun in ("secret", "config"):
        references = container.get(f"{noun.title()}s") or []
        _fill_in(noun, references, look_up)
    return spec


def _fill_in(noun: str, references: Sequence[dict[str, Any]], look_up: LookUp) -> None:
    id_key, name_key = f"{noun.title()}ID", f"{noun.title()}Name"
    fresh = [reference for reference in references if not reference.get(id_key)]
    if not fresh:
        return
    names = sorted({reference[name_key] for reference in fresh})
    ids = {item["Spec"]["Name"]: item["ID"] for item in look_up(f"{noun}s", names)}
    missing = [name for name in names if name not in ids]
    if missing:
        raise ValueError(f"{noun} not found: {missing[0]}")
    for reference in fresh:
        reference[id_key] = ids[reference[name_key]]
