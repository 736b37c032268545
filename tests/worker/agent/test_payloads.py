"""The files of a container, out of the secrets and configs of its node."""

from dataclasses import replace

import pytest

from common.errors import InvalidInputError
from common.model.config import Config
from common.model.container_spec import ContainerSpec, Driver, FileTarget, SecretReference
from common.model.secret import Secret
from tests.support.builders import config, secret, template_with
from worker.agent.payloads import TEMPLATE_CHARS_MAX, Payloads
from worker.agent.template import Facts
from worker.containers.files import ContainerFile

KEY, CONF = secret("key"), config("conf")
GOLANG = Driver(name="golang")
FACTS = Facts(service_name="web", task_slot="3")


def spec(*items: Secret | Config) -> ContainerSpec:
    found = template_with(*items).container_spec
    assert found is not None
    return found


def given(*items: Secret | Config, is_told: bool = False) -> Payloads:
    return Payloads(
        secrets={item.id: item for item in items if isinstance(item, Secret)},
        configs={item.id: item for item in items if isinstance(item, Config)},
        is_told=is_told,
    )


def test_a_secret_and_a_config_as_files() -> None:
    assert given(KEY, CONF).files_of(spec(KEY, CONF), FACTS) == (
        ContainerFile(path="/run/secrets/key", data=b"s3cret"),
        ContainerFile(path="/conf", data=b"a = 1"),
    )


def test_with_owner_mode_and_place() -> None:
    target = FileTarget(name="/etc/x", uid="7", gid="8", mode=0o4755)
    wanted = ContainerSpec(
        secrets=(SecretReference(file=target, secret_id="key", secret_name="key"),)
    )
    assert given(KEY).files_of(wanted, FACTS) == (
        ContainerFile(path="/etc/x", data=b"s3cret", uid=7, gid=8, mode=0o755),
    )


WAITS: dict[str, tuple[Payloads, ContainerSpec | None, bool]] = {
    "for what a manager has yet to send": (given(KEY), spec(KEY, CONF), False),
    "not when all is here": (given(KEY, CONF), spec(KEY, CONF), True),
    "not for what is gone for good": (given(is_told=True), spec(KEY), True),
    "not without a container": (given(), None, True),
}


@pytest.mark.parametrize(("payloads", "wanted", "expected"), WAITS.values(), ids=WAITS)
def test_a_task_waits(payloads: Payloads, wanted: ContainerSpec | None, expected: bool) -> None:
    assert payloads.has_or_never_will(wanted) is expected


def test_what_is_gone_is_named() -> None:
    for item, message in ((KEY, "secret key not found"), (CONF, "config conf not found")):
        with pytest.raises(InvalidInputError, match=message):
            given(is_told=True).files_of(spec(item), FACTS)


def test_placeholders_are_filled_in_where_it_is_asked_for() -> None:
    text = b"{{.Service.Name}} {{.Task.Slot}}"
    plain, filled = config("a", data=text), config("b", data=text, templating=GOLANG)
    files = given(plain, filled).files_of(spec(plain, filled), FACTS)
    assert [file.data for file in files] == [text, b"web 3"]


FAULTS: dict[str, tuple[Secret | Config, str]] = {
    "an unknown driver": (config(templating=Driver(name="jinja")), "unknown template driver jinja"),
    "bytes that are no text": (
        config(data=b"\xff{{", templating=GOLANG),
        "config conf: a template must be UTF-8 text",
    ),
    "an unknown placeholder of a config": (
        config(data=b"{{.Nope}}", templating=GOLANG),
        "config conf: unknown placeholder",
    ),
    "an unknown placeholder of a secret": (
        secret(data=b"hush{{hush}}", templating=GOLANG),
        "secret key: a placeholder in it is none",
    ),
}


@pytest.mark.parametrize(("item", "message"), FAULTS.values(), ids=FAULTS)
def test_a_template_that_is_none(item: Secret | Config, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as refused:
        given(item).files_of(spec(item), FACTS)
    assert "hush" not in str(refused.value)


def test_a_template_that_grows_too_large() -> None:
    bomb = config(data=b"{{.Service.Name}}" * 10_000, templating=GOLANG)
    long = replace(FACTS, service_name="x" * (TEMPLATE_CHARS_MAX // 10_000 + 1))
    with pytest.raises(InvalidInputError, match="expands to more than"):
        given(bomb).files_of(spec(bomb), long)


def test_data_is_in_no_text() -> None:
    text = repr(given(KEY)) + repr(given(KEY).files_of(spec(KEY), FACTS))
    assert "s3cret" not in text
