import dataclasses

import pytest

from common.model.copy import changed
from common.model.service import Service, ServiceSpec
from common.model.task import Task

TASK = Task(id="t", slot=3)


def test_a_changed_copy_is_what_dataclasses_replace_gives() -> None:
    copy = changed(TASK, version=5, node_id="n")
    assert copy == dataclasses.replace(TASK, version=5, node_id="n")
    assert (type(copy), hash(changed(ServiceSpec().mode))) == (Task, hash(ServiceSpec().mode))
    assert (TASK.version, TASK.node_id) == (0, "")


def test_fields_are_shared_not_copied() -> None:
    service = Service(id="s", spec=ServiceSpec())
    assert changed(service, version=1).spec is service.spec


def test_a_copy_is_frozen_like_its_original() -> None:
    copy = changed(TASK)
    with pytest.raises(dataclasses.FrozenInstanceError):
        copy.id = "other"  # type: ignore[misc]


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(AttributeError):
        changed(TASK, colour="red")
