"""Objects by something else than their id. Each index is kept up to date by the changes of objects, one by one."""

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from common.model.endpoint import Protocol, PublishMode
from common.model.meta import Stored
from common.model.service import Service

Key = TypeVar("Key")
S = TypeVar("S", bound=Stored)
_NOTHING: Mapping[str, object] = MappingProxyType({})


class Groups(Generic[S]):
    """Objects by one key that each of them has; the empty key is not indexed."""

    def __init__(self, key_of: Callable[[S], str]) -> None:
        self._key_of = key_of
        self._groups: dict[str, dict[str, S]] = {}

    def of(self, key: str) -> Collection[S]:
        """The objects with that key: a live view, to be read before awaiting anything."""
        group = self._groups.get(key)
        return group.values() if group else ()

    def note(self, old: S | None, new: S | None) -> None:
        """Takes in that an object came, changed or went."""
        key = self._key_of(new) if new else ""
        if old and (old_key := self._key_of(old)) and old_key != key:
            self._leave(old_key, old.id)
        if new and key:
            group = self._groups.get(key)
            if group is None:
                self._groups[key] = {new.id: new}
            else:
                group[new.id] = new

    def _leave(self, key: str, object_id: str) -> None:
        group = self._groups[key]
        del group[object_id]
        if not group:
            del self._groups[key]


class Names:
    """Services by name. A name is taken in any case, as in Docker: "Web" and "web" cannot both exist."""

    def __init__(self) -> None:
        self._by_folded: dict[str, Service] = {}

    def holder(self, name: str) -> Service | None:
        """The service whose name equals this one in any case."""
        return self._by_folded.get(name.casefold())

    def note(self, old: Service | None, new: Service | None) -> None:
        """Takes in that a service came, changed or went."""
        folded = new.spec.name.casefold() if new else None
        if old and (was := old.spec.name.casefold()) != folded:
            held = self._by_folded.get(was)
            if held and held.id == old.id:  # else the name has passed to another service
                del self._by_folded[was]
        if new and folded is not None:
            self._by_folded[folded] = new


PortKey = tuple[Protocol, int]


class PublishedPorts:
    """Services by the ports that they publish on every node (ingress), asked for or allocated."""

    def __init__(self) -> None:
        self._services: dict[PortKey, dict[str, Service]] = {}

    def of(self, protocol: Protocol, port: int) -> Collection[Service]:
        """The services that publish it: a live view."""
        found = self._services.get((protocol, port))
        return found.values() if found else ()

    def note(self, old: Service | None, new: Service | None) -> None:
        """Takes in that a service came, changed or went."""
        before, after = set(_ports(old)), set(_ports(new))
        for key in before - after:
            holders = self._services[key]
            holders.pop(old.id if old else "")
            if not holders:
                del self._services[key]
        if new:
            for key in after:
                self._services.setdefault(key, {})[new.id] = new


def _ports(service: Service | None) -> Iterable[PortKey]:
    if service is None:
        return
    asked = service.spec.endpoint_spec.ports if service.spec.endpoint_spec else ()
    for port in (*asked, *service.endpoint.ports):
        if port.published_port and port.publish_mode is PublishMode.INGRESS:
            yield port.protocol, port.published_port
