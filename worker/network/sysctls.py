"""The host's settings that containers need changed, recorded before the first change and put back in the end."""

import json
from collections.abc import Mapping
from pathlib import Path

from common.files import replace_durably

PROC_SYS = Path("/proc/sys")
FORWARDING = "net/ipv4/ip_forward"
_CONF = Path("net/ipv4/conf")


def enable_forwarding(record: Path, root: Path = PROC_SYS) -> None:
    """Lets the kernel route between interfaces. Where it does already, nothing is changed and nothing recorded."""
    if _read(root, FORWARDING) == "1":
        return
    if not record.exists():
        replace_durably(record, json.dumps(former_values(root), indent=1).encode())
    _write(root, FORWARDING, "1")


def restore(record: Path, root: Path = PROC_SYS) -> None:
    """Puts every recorded value back and forgets it; without a record nothing was changed."""
    try:
        former: Mapping[str, str] = json.loads(record.read_text())
    except FileNotFoundError:
        return
    # ip_forward first: writing it resets the others.
    for name in sorted(former, key=lambda name: name != FORWARDING):
        if _read(root, name) not in (None, former[name]):
            _write(root, name, former[name])
    record.unlink()


def former_values(root: Path = PROC_SYS) -> Mapping[str, str]:
    """Everything that writing ip_forward changes: each interface's forwarding, and whether redirects are heeded."""
    names = [
        FORWARDING,
        str(_CONF / "all/accept_redirects"),
        *(
            str(_CONF / interface.name / "forwarding")
            for interface in sorted((root / _CONF).iterdir())
        ),
    ]
    values = {name: _read(root, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _read(root: Path, name: str) -> str | None:
    try:
        return (root / name).read_text().strip()
    except FileNotFoundError:  # an interface that is gone
        return None


def _write(root: Path, name: str, value: str) -> None:
    (root / name).write_text(f"{value}\n")
