"""What a container learns of the host's /etc/resolv.conf."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

SYSTEMD_RESOLVED = Path("/run/systemd/resolve/resolv.conf")
"""Where systemd-resolved lists the real nameservers when /etc/resolv.conf names only its own stub."""
MAX_BYTES = 64 * 1024
NAMESERVERS_MAX = 3
"""The C library reads no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """How to resolve names."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


def read_resolver(path: Path = Path("/etc/resolv.conf")) -> Resolver:
    """The host's resolver as a container can use it."""
    resolver = parse(_read(path))
    if resolver.nameservers:
        return resolver
    return Resolver(nameservers=parse(_read(SYSTEMD_RESOLVED)).nameservers, search=resolver.search)


def parse(text: str) -> Resolver:
    """Nameservers that a container can reach (none on a loopback or link-local address), and search domains."""
    nameservers: list[str] = []
    search: tuple[str, ...] = ()
    for line in text.splitlines():
        match line.split("#")[0].split(";")[0].split():
            case ["nameserver", address, *_] if _is_reachable(address):
                nameservers.append(address)
            case ["search" | "domain", *domains]:
                search = tuple(domain for domain in domains if domain != ".")
            case _:
                pass
    return Resolver(nameservers=tuple(nameservers[:NAMESERVERS_MAX]), search=search)


def _is_reachable(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.version == 4 and not parsed.is_loopback  # noqa: PLR2004 - containers have IPv4 only


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode(errors="replace")
    except OSError:
        return ""
