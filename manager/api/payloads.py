"""Secrets and configs: create, list, inspect, change labels, remove. Both alike; ``Noun`` says where they differ."""

import random  # noqa: TID251 - only named as a type
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aiohttp import web

from common.engine_api.filters import Filters
from common.engine_api.http import (
    filters,
    integer,
    json_list_response,
    json_response,
    read_json,
)
from common.errors import ConflictError, InvalidInputError, StaleVersionError
from common.ids import id_source
from common.model.config import Config, ConfigSpec
from common.model.copy import changed
from common.model.secret import Secret, SecretSpec
from manager.api.access import manager_of, state_of
from manager.api.errors import out_of_sequence
from manager.api.parse.annotations import check_labels
from manager.api.parse.payload_spec import (
    check_config,
    check_secret,
    parse_config_spec,
    parse_secret_spec,
)
from manager.api.ports import SwarmNode
from manager.api.render.payload import render_config, render_secret
from manager.store.changes import Create, Delete, Update
from manager.store.state import State

PAYLOAD_FILTERS = ("id", "label", "name", "names")
Item = TypeVar("Item", Secret, Config)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun(Generic[Item]):
    """What is different for secrets and configs."""

    word: str
    parse: Callable[[Any], Any]
    check: Callable[[Any], None]
    """Refuses what cannot be a new one."""
    make: Callable[[str, Any], Item]
    all: Callable[[State], Mapping[str, Item]]
    find: Callable[[State, str], Item]
    render: Callable[[Item], dict[str, Any]]


def _secret(new_id: str, spec: SecretSpec) -> Secret:
    return Secret(id=new_id, spec=spec)


def _config(new_id: str, spec: ConfigSpec) -> Config:
    return Config(id=new_id, spec=spec)


SECRETS: Noun[Secret] = Noun(
    word="secret",
    parse=parse_secret_spec,
    check=check_secret,
    make=_secret,
    all=lambda state: state.secrets,
    find=lambda state, reference: state.find_secret(reference),
    render=render_secret,
)
CONFIGS: Noun[Config] = Noun(
    word="config",
    parse=parse_config_spec,
    check=check_config,
    make=_config,
    all=lambda state: state.configs,
    find=lambda state, reference: state.find_config(reference),
    render=render_config,
)


class Payloads(Generic[Item]):
    """The handlers of ``/secrets`` or ``/configs``."""

    def __init__(self, node: SwarmNode, noun: Noun[Item], chance: random.Random) -> None:
        self._node = node
        self._noun: Noun[Item] = noun
        self._new_id = id_source(chance)

    async def list(self, request: web.Request) -> web.StreamResponse:
        """``GET /secrets``, ``GET /configs``."""
        state, wanted = state_of(self._node), filters(request, *PAYLOAD_FILTERS)
        shown = [item for item in self._noun.all(state).values() if _shows(wanted, item)]
        return await json_list_response(request, shown, self._noun.render)

    async def inspect(self, request: web.Request) -> web.Response:
        """``GET /secrets/{id}``, ``GET /configs/{id}``."""
        found = self._noun.find(state_of(self._node), request.match_info["id"])
        return json_response(self._noun.render(found))

    async def create(self, request: web.Request) -> web.Response:
        """``POST /secrets/create``, ``POST /configs/create``."""
        store = manager_of(self._node).store
        spec = self._noun.parse(await read_json(request))
        self._noun.check(spec)
        item = self._noun.make(self._new_id(), spec)
        try:
            await store.propose([Create(object=item)])
        except ConflictError:
            raise _name_taken(self._noun.word, spec.name) from None
        return json_response({"ID": item.id}, status=201)

    async def update(self, request: web.Request) -> web.Response:
        """``POST /secrets/{id}/update``, ``POST /configs/{id}/update``: the labels, and nothing else."""
        store = manager_of(self._node).store
        version = integer(request, "version")
        spec = self._noun.parse(await read_json(request))
        found = self._noun.find(store.state, request.match_info["id"])
        _check_same(found, spec)
        check_labels(spec.labels)
        if version != found.version:
            raise out_of_sequence()
        relabelled = changed(found, spec=changed(found.spec, labels=spec.labels))
        try:
            await store.propose([Update(object=relabelled)])
        except StaleVersionError:
            raise out_of_sequence() from None
        return web.Response()

    async def remove(self, request: web.Request) -> web.Response:
        """``DELETE /secrets/{id}``, ``DELETE /configs/{id}``."""
        store = manager_of(self._node).store
        found = self._noun.find(store.state, request.match_info["id"])
        await store.propose([Delete(table=self._noun.word, id=found.id)])
        return web.Response(status=204)


def _shows(wanted: Filters, item: Secret | Config) -> bool:
    return (
        wanted.accepts_prefix("id", [item.id])
        and wanted.accepts_prefix("name", [item.spec.name])
        and wanted.accepts("names", lambda name: name == item.spec.name)
        and wanted.accepts_labels(item.spec.labels)
    )


def _check_same(found: Secret | Config, spec: SecretSpec | ConfigSpec) -> None:
    """As Docker: data that is left out counts as unchanged; a name or data that is another one is refused."""
    is_same = spec.name == found.spec.name and spec.data in (b"", found.spec.data)
    if not is_same or spec.templating not in (None, found.spec.templating):
        raise InvalidInputError("only updates to Labels are allowed")


def _name_taken(word: str, name: str) -> ConflictError:
    return ConflictError(
        f"rpc error: code = AlreadyExists desc = {word} {name} already exists",
    )
