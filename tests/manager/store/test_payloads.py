"""Secrets and configs in the store: names, references, what may change, and that a replay agrees."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.codec import decode, encode
from common.errors import ConflictError, InvalidInputError, SwarmdError
from common.model.config import Config
from common.model.copy import changed
from common.model.secret import Secret
from common.model.service import Service
from manager.raft.log import ENTRY_BYTES_MAX
from manager.store.changes import Change, Create, Delete, Entry, StoredObject, Update
from manager.store.replica import ACCEPTED, Replica
from manager.store.state import State
from tests.support.builders import applied, config, secret, service, state_of, template_with

KEY, CONF = secret("key"), config("conf")
USER = service(name="web", spec=template_with(KEY, CONF))
OTHER = service(name="db", spec=template_with(KEY))


def relabelled(item: Secret) -> Secret:
    return replace(item, spec=replace(item.spec, labels={"a": "b"}))


REFUSED: dict[str, tuple[Sequence[StoredObject], Sequence[Change], type[SwarmdError], str]] = {
    "a secret's name that is taken": (
        [KEY],
        [Create(object=replace(KEY, id="2", spec=replace(KEY.spec, name="KEY")))],
        ConflictError,
        "name conflicts with an existing object: secret KEY already exists",
    ),
    "a config's name that is taken": (
        [CONF],
        [Create(object=replace(CONF, id="2"))],
        ConflictError,
        "name conflicts with an existing object: config conf already exists",
    ),
    "removing a secret in use": (
        [KEY, CONF, USER],
        [Delete(table="secret", id="key")],
        InvalidInputError,
        "secret 'key' is in use by the following service: web",
    ),
    "removing a secret in use by several": (
        [KEY, CONF, USER, OTHER],
        [Delete(table="secret", id="key")],
        InvalidInputError,
        "secret 'key' is in use by the following services: db, web",
    ),
    "removing a config in use": (
        [KEY, CONF, USER],
        [Delete(table="config", id="conf")],
        InvalidInputError,
        "config 'conf' is in use by the following service: web",
    ),
    "removing a secret that the same entry begins to use": (
        [KEY],
        [Create(object=OTHER), Delete(table="secret", id="key")],
        InvalidInputError,
        "secret 'key' is in use by the following service: db",
    ),
    "a service that names a secret which is gone": (
        [],
        [Create(object=OTHER)],
        InvalidInputError,
        "secret not found: key",
    ),
    "an update that names a config which is gone": (
        [KEY, OTHER],
        [Update(object=replace(OTHER, spec=replace(USER.spec, name="db")))],
        InvalidInputError,
        "config not found: conf",
    ),
    "other data of a secret": (
        [KEY],
        [Update(object=replace(KEY, spec=replace(KEY.spec, data=b"other")))],
        InvalidInputError,
        "only updates to Labels are allowed",
    ),
    "another name of a config": (
        [CONF],
        [Update(object=replace(CONF, spec=replace(CONF.spec, name="other")))],
        InvalidInputError,
        "only updates to Labels are allowed",
    ),
}


@pytest.mark.parametrize(
    ("objects", "changes", "kind", "message"), REFUSED.values(), ids=REFUSED.keys()
)
def test_refuses(
    objects: Sequence[StoredObject],
    changes: Sequence[Change],
    kind: type[SwarmdError],
    message: str,
) -> None:
    with pytest.raises(kind) as refused:
        applied(state_of(objects), changes)
    assert (type(refused.value), refused.value.message) == (kind, message)


ALLOWED: dict[str, tuple[Sequence[StoredObject], Sequence[Change]]] = {
    "a secret and a config of one name": (
        [KEY],
        [Create(object=config("key"))],
    ),
    "other labels": ([KEY], [Update(object=relabelled(KEY))]),
    "removing what only a former spec names": (
        [KEY, replace(service(name="web"), previous_spec=OTHER.spec)],
        [Delete(table="secret", id="key")],
    ),
    "removing it in the entry that ends its use": (
        [KEY, OTHER],
        [Delete(table="service", id="db"), Delete(table="secret", id="key")],
    ),
    "rolling back to what is gone: its tasks will say so": (
        [replace(service(name="db"), previous_spec=OTHER.spec)],
        [Update(object=replace(service(name="db"), spec=OTHER.spec, previous_spec=OTHER.spec))],
    ),
    "writing something else of a service whose secret is gone": (
        [OTHER],
        [Update(object=replace(OTHER, previous_spec_version=7))],
    ),
}


@pytest.mark.parametrize(("objects", "changes"), ALLOWED.values(), ids=ALLOWED.keys())
def test_allows(objects: Sequence[StoredObject], changes: Sequence[Change]) -> None:
    applied(state_of(objects), changes)


def test_a_name_is_free_once_its_secret_is_gone() -> None:
    state = applied(state_of([KEY]), [Delete(table="secret", id="key")])
    applied(state, [Create(object=secret("key", data=b"new"))])
    assert state.find_secret("key").spec.data == b"new"


def test_is_found_by_id_name_and_beginning() -> None:
    state = state_of([replace(KEY, id="abcdef"), replace(CONF, id="abcdef")])
    for reference in ("abcdef", "key", "abc"):
        assert state.find_secret(reference).id == "abcdef"
    assert state.find_config("conf").id == "abcdef"


def test_an_entry_with_the_largest_payloads_fits_the_log() -> None:
    largest: list[StoredObject] = [secret(data=bytes(512_000)), config(data=bytes(1_024_000))]
    for item in largest:
        assert len(encode(Entry(at=1.0, changes=(Create(object=item),)))) < ENTRY_BYTES_MAX


def test_data_is_in_no_text_of_an_object() -> None:
    text = repr([KEY, CONF, Create(object=KEY), USER])
    assert "s3cret" not in text
    assert "a = 1" not in text


def test_comes_back_from_bytes() -> None:
    assert decode(Secret, encode(KEY)) == KEY
    assert decode(Config, encode(CONF)) == CONF


def test_a_refusal_reaches_whoever_proposed_it() -> None:
    replica = Replica()
    entry = encode(Entry(at=1.0, changes=(Create(object=OTHER),)))
    assert b"secret not found: key" in replica.apply(1, b"1" * 16, entry)


# --------------------------------------------------------------------------------------- properties

NAMES = st.sampled_from(["a", "A", "b"])
IDS = st.sampled_from(["1", "2", "3"])


@st.composite
def services(draw: st.DrawFn) -> Service:
    named = draw(st.lists(IDS, max_size=2, unique=True))
    spec = template_with(*(secret(name) for name in named), *(config(name) for name in named[:1]))
    return replace(service(name=draw(NAMES), spec=spec, version=0), id=draw(IDS))


OBJECTS: st.SearchStrategy[StoredObject] = st.one_of(
    services(),
    st.builds(lambda item_id, name: replace(secret(name), id=item_id, version=0), IDS, NAMES),
    st.builds(lambda item_id, name: replace(config(name), id=item_id, version=0), IDS, NAMES),
)
CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(Create, object=OBJECTS),
    st.builds(Update, object=OBJECTS),
    st.builds(Delete, table=st.sampled_from(["service", "secret", "config"]), id=IDS),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.lists(CHANGES, min_size=1, max_size=3), max_size=25))
def test_every_named_secret_and_config_is_there_whatever_is_tried(
    history: list[list[Change]],
) -> None:
    """And a replay of the log, and a snapshot, give the same."""
    replica, other = Replica(), Replica()
    for index, changes in enumerate(history, 1):
        entry = encode(Entry(at=float(index), changes=tuple(changes)))
        request = index.to_bytes(16, "big")
        assert replica.apply(index, request, entry) == other.apply(index, request, entry)
        _check(replica.state)
    assert replica.state.objects() == other.state.objects()
    restored = Replica()
    restored.restore([*replica.snapshot()])()
    assert restored.state.objects() == replica.state.objects()
    _check(restored.state)


def _check(state: State) -> None:
    for kind, table, using in (
        ("secrets", state.secrets, state.services_using_secret),
        ("configs", state.configs, state.services_using_config),
    ):
        names = [item.spec.name.casefold() for item in table.values()]
        assert len(names) == len(set(names))
        used: dict[str, set[str]] = {}
        for one in state.services.values():
            container = one.spec.task_template.container_spec
            assert container is not None
            ids = [
                item.secret_id if kind == "secrets" else item.config_id
                for item in getattr(container, kind)
            ]
            for item_id in ids:
                assert item_id in table
                used.setdefault(item_id, set()).add(one.id)
        for item_id in ("1", "2", "3"):
            assert {found.id for found in using(item_id)} == used.get(item_id, set())


def test_an_accepted_entry_says_nothing() -> None:
    replica = Replica()
    entry = encode(Entry(at=1.0, changes=(Create(object=changed(KEY, version=0)),)))
    assert replica.apply(1, b"1" * 16, entry) == ACCEPTED
