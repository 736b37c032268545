"""Which layers and configs may go."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """What nothing needs any more."""

    layers: frozenset[str]
    configs: frozenset[str]


def garbage(
    *,
    layers_present: Collection[str],
    configs_present: Collection[str],
    images: Iterable[tuple[str, Collection[str]]],
    layers_arriving: Collection[str] = (),
) -> Garbage:
    """Says what may go, given what is on disk and each image's id and layers.

    ``layers_arriving`` are those of archives being read, whose images are not recorded yet.
    """
    needed_layers, needed_configs = set(layers_arriving), set()
    for image_id, layers in images:
        needed_configs.add(image_id)
        needed_layers.update(layers)
    return Garbage(
        layers=frozenset(layers_present) - needed_layers,
        configs=frozenset(configs_present) - needed_configs,
    )
