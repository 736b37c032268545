"""Objects by something else than their id. Each index is kept up to date by the changes of objects, one by one."""

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from common.model.config import Config
from common.model.endpoint import Protocol, PublishMode
from common.model.meta import Stored
from common.model.secret import Secret
from common.model.service import Service

Key = TypeVar("Key")
S = TypeVar("S", bound=Stored)
Named = TypeVar("Named", Service, Secret, Config)
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


class Names(Generic[Named]):
    """Objects of one kind by name. A name is taken in any case, as in Docker: "Web" and "web" cannot both exist."""

    def __init__(self) -> None:
        self._by_folded: dict[str, Named] = {}

    def holder(self, name: str) -> Named | None:
        """The object whose name equals this one in any case."""
        return self._by_folded.get(name.casefold())

    def named(self, name: str) -> Named | None:
        """The object of exactly this name."""
        found = self.holder(name)
        return found if found is not None and found.spec.name == name else None

    def note(self, old: Named | None, new: Named | None) -> None:
        """Takes in that an object came, changed or went."""
        folded = new.spec.name.casefold() if new else None
        if old and (was := old.spec.name.casefold()) != folded:
            held = self._by_folded.get(was)
            if held and held.id == old.id:  # else the name has passed to another one
                del self._by_folded[was]
        if new and folded is not None:
            self._by_folded[folded] = new


PortKey = tuple[Protocol, int]


class Uses(Generic[Key]):
    """Services by each of the things that they use, which have one kind of key."""

    def __init__(self, keys_of: Callable[[Service], Iterable[Key]]) -> None:
        self._keys_of = keys_of
        self._services: dict[Key, dict[str, Service]] = {}

    def of(self, key: Key) -> Collection[Service]:
        """The services that use it: a live view."""
        found = self._services.get(key)
        return found.values() if found else ()

    def note(self, old: Service | None, new: Service | None) -> None:
        """Takes in that a service came, changed or went."""
        before = set(self._keys_of(old)) if old else set()
        after = set(self._keys_of(new)) if new else set()
        for key in before - after:
            holders = self._services[key]
            holders.pop(old.id if old else "")
            if not holders:
                del self._services[key]
        if new:
            for key in after:
                self._services.setdefault(key, {})[new.id] = new


def secrets_of(service: Service) -> Iterable[str]:
    """Ids of the secrets that a service names."""
    container = service.spec.task_template.container_spec
    return [item.secret_id for item in container.secrets] if container else []


def configs_of(service: Service) -> Iterable[str]:
    """Ids of the configs that a service names."""
    container = service.spec.task_template.container_spec
    return [item.config_id for item in container.configs] if container else []


def ports_of(service: Service) -> Iterable[PortKey]:
    """The ports that a service publishes on every node (ingress), asked for or allocated."""
    asked = service.spec.endpoint_spec.ports if service.spec.endpoint_spec else ()
    for port in (*asked, *service.endpoint.ports):
        if port.published_port and port.publish_mode is PublishMode.INGRESS:
            yield port.protocol, port.published_port
