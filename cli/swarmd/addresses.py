"""Which address of this machine other nodes are told. Pure."""

import ipaddress
from collections.abc import Mapping, Sequence

from common.errors import InvalidInputError

DEFAULT_SWARM_PORT = 2377
LOOPBACK = "127.0.0.1"
PORT_MAX = 65535


def advertised(asked: str, own: Mapping[str, Sequence[str]]) -> str:
    """The address to advertise.

    Args:
        asked: What the user wrote: an address or the name of an interface, with or without ``:port``; or "".
        own: Addresses by interface, the loopback and our own bridges left out.

    Raises:
        InvalidInputError: the address is not this machine's, or there are several to choose from.
    """
    if asked:
        return _asked(asked, own)
    choices = {
        name: _preferred(addresses) for name, addresses in own.items() if _preferred(addresses)
    }
    if len(choices) > 1:
        listed = ", ".join(f"{address} on {name}" for name, address in sorted(choices.items()))
        raise InvalidInputError(
            "could not choose an IP address to advertise since this system has multiple addresses on different "
            f"interfaces ({listed})",
            hint="specify one with --advertise-addr",
        )
    return next(iter(choices.values()), LOOPBACK)


def _asked(asked: str, own: Mapping[str, Sequence[str]]) -> str:
    host = without_port(asked)
    if host in own:
        address = _preferred(own[host])
        if not address:
            raise InvalidInputError(f"interface {host} has no address to advertise")
        return address
    try:
        wanted = ipaddress.ip_address(host)
    except ValueError:
        raise InvalidInputError(
            f"invalid advertise address {asked!r}: neither an IP address nor an interface of this machine"
        ) from None
    if wanted.is_unspecified:
        raise InvalidInputError(
            "advertise address must be a non-zero IP address or network interface"
        )
    if not wanted.is_loopback and not any(host in addresses for addresses in own.values()):
        raise InvalidInputError(f"advertise address {host} is not an address of this machine")
    return host


def listening(asked: str, own: Mapping[str, Sequence[str]]) -> tuple[str, int]:
    """Where to listen for other nodes: ``address``, ``interface``, ``address:port`` or ``interface:port``.

    Raises:
        InvalidInputError: it is neither, or the port is none.
    """
    host, port = without_port(asked), port_of(asked)
    if host in own:
        address = _preferred(own[host])
        if not address:
            raise InvalidInputError(f"interface {host} has no address to listen on")
        return address, port
    try:
        return str(ipaddress.ip_address(host)), port
    except ValueError:
        raise InvalidInputError(
            f"invalid listen address {asked!r}: neither an IP address nor an interface of this machine"
        ) from None


def port_of(text: str, default: int = DEFAULT_SWARM_PORT) -> int:
    """The port in ``host:port``, or ``default`` when there is none.

    Raises:
        InvalidInputError: it cannot be a port.
    """
    rest = text[len(without_port(text)) + (2 if text.startswith("[") else 0) :]
    if not rest:
        return default
    port = int(rest[1:]) if rest[1:].isdigit() else 0
    if not 0 < port <= PORT_MAX:
        raise InvalidInputError(f"invalid port in {text!r}")
    return port


def with_port(host: str, port: int) -> str:
    """``host:port``, or ``[host]:port`` of an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def without_port(text: str) -> str:
    """``host``, ``host:port`` or ``[v6]:port`` without the port."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host, colon, port = text.rpartition(":")
    return host if colon and port.isdigit() and ":" not in host else text


def _preferred(addresses: Sequence[str]) -> str:
    """The first IPv4 address, else the first IPv6 one that is not link-local, else ""."""
    usable = [address for address in addresses if not ipaddress.ip_address(address).is_link_local]
    fours = [address for address in usable if ":" not in address]
    return next(iter(fours or usable), "")
