"""How much an image archive may make this node do."""

from dataclasses import dataclass

GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one archive; past any of them it is refused and nothing is kept."""

    archive_bytes: int = 64 * GIB
    """The archive as sent."""
    archive_entries: int = 20_000
    """Entries of an archive of images (layers, configs, manifests), not those in the layers."""
    layer_entries: int = 1_000_000
    layer_bytes: int = 32 * GIB
    """One layer, uncompressed."""
    layers: int = 127
    """Of one image, as Docker's overlay driver has it."""
    json_bytes: int = 4 * 1024 * 1024
    """A manifest or a config."""
    images: int = 1_000
    """Of one archive."""


DEFAULT_LIMITS = Limits()

HEADER_BYTES_MAX = 1024 * 1024
"""One read of a tar reader: a pax header or a long name larger than this is refused before it is in memory."""
EXTRACT_CHUNK_BYTES = 256 * 1024
