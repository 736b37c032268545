"""Which devices of the Container Device Interface a request means (``--gpus``)."""

from dataclasses import dataclass

from common.errors import InvalidInputError
from worker.runtime.cdi import Registry, is_qualified

DRIVER = "cdi"
GPU = "gpu"
ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A request for devices by what they are."""

    driver: str = ""
    count: int = 0
    """-1 is all."""
    device_ids: tuple[str, ...] = ()
    capabilities: tuple[tuple[str, ...], ...] = ()


def chosen(wanted: Wanted, registry: Registry) -> list[str]:
    """Names of the devices that a request means.

    Raises:
        InvalidInputError: no device or not enough of them fit.
    """
    if wanted.driver == DRIVER:
        return list(wanted.device_ids)
    kinds = _gpu_kinds(wanted, registry)
    if not kinds:
        capabilities = " ".join(f"[{' '.join(group)}]" for group in wanted.capabilities)
        raise InvalidInputError(
            f'could not select device driver "{wanted.driver}" with capabilities: [{capabilities}]'
        )
    kind = kinds[0]
    if wanted.device_ids:
        return [name if is_qualified(name) else f"{kind}={name}" for name in wanted.device_ids]
    if wanted.count < 0 and f"{kind}={ALL}" in registry.found:
        return [f"{kind}={ALL}"]
    each = _each_once(kind, registry)
    if wanted.count > len(each):
        raise InvalidInputError(
            f"{wanted.count} devices of {kind} wanted, and {len(each)} are there"
        )
    return each if wanted.count < 0 else each[: wanted.count]


def _gpu_kinds(wanted: Wanted, registry: Registry) -> list[str]:
    """Kinds that are graphics processors, of the driver's vendor when one is named."""
    if not any(GPU in group for group in wanted.capabilities):
        return []
    of_class = [kind for kind in registry.kinds() if kind.partition("/")[2] == GPU]
    if not wanted.driver:
        return of_class
    return [kind for kind in of_class if kind.partition(".")[0] == wanted.driver]


def _each_once(kind: str, registry: Registry) -> list[str]:
    """Devices of a kind in the order of their numbers; one may have several names: its number is preferred."""
    names = [name for name in registry.devices_of([kind]) if name.partition("=")[2] != ALL]
    numbered = [name for name in names if name.partition("=")[2].isdigit()]
    if numbered:
        return sorted(numbered, key=lambda name: int(name.partition("=")[2]))
    return names
