"""Tar archives and image archives for tests, good ones and hostile ones."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any


def entry(
    name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b"", **fields: object
) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, len(data)
    member.uid, member.gid, member.mode = os.getuid(), os.getgid(), 0o755
    for key, value in fields.items():
        setattr(member, key, value)
    return member, data


def file(name: str, data: bytes = b"content") -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, data=data)


def directory(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, kind=tarfile.DIRTYPE)


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, kind=tarfile.SYMTYPE, link=target)


def hardlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, kind=tarfile.LNKTYPE, link=target)


def tar(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in entries:
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def docker_archive(
    layers: Sequence[bytes],
    *,
    tags: Sequence[str] = ("hello:1",),
    config: Mapping[str, Any] | None = None,
    diff_ids: Sequence[str] | None = None,
    compressed: Sequence[bytes] | None = None,
) -> bytes:
    """A ``docker save`` archive; ``compressed`` replaces the layers' bytes, ``diff_ids`` what the config says."""
    image = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": dict(config or {}),
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids or map(digest, layers))},
        }
    ).encode()
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": list(tags), "Layers": names}]
    return tar(
        file("config.json", image),
        *(file(name, data) for name, data in zip(names, compressed or layers, strict=True)),
        file("manifest.json", json.dumps(manifest).encode()),
    )


async def chunks(data: bytes, size: int = 4096) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
