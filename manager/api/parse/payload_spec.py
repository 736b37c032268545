"""A ``SecretSpec`` or ``ConfigSpec`` out of a request's body."""

import re
from typing import Any

from common.engine_json import parse
from common.errors import InvalidInputError, NotImplementedHereError
from common.model.config import ConfigSpec
from common.model.container_spec import Driver
from common.model.secret import SecretSpec
from manager.api.parse.annotations import check_labels
from manager.api.parse.raw import body_object

NAME_MAX_CHARACTERS = 64
SECRET_MAX_BYTES = 500 * 1024
"""Docker's: the data must be smaller than this."""
CONFIG_MAX_BYTES = 1000 * 1024
"""Docker's: the data must be smaller than this."""
TEMPLATE_DRIVERS = frozenset({"golang"})
_NAME = re.compile(r"[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?")


def parse_secret_spec(raw: Any) -> SecretSpec:  # noqa: ANN401
    """Reads a spec; whether its data is right is asked when the secret is made (``check_secret``).

    Raises:
        InvalidInputError: in Docker's words.
    """
    return parse(SecretSpec, body_object(raw), "SecretSpec")


def parse_config_spec(raw: Any) -> ConfigSpec:  # noqa: ANN401
    """Reads a spec; whether its data is right is asked when the config is made (``check_config``).

    Raises:
        InvalidInputError: in Docker's words.
    """
    return parse(ConfigSpec, body_object(raw), "ConfigSpec")


def check_secret(spec: SecretSpec) -> None:
    """Refuses what cannot be a new secret.

    Raises:
        InvalidInputError: in Docker's words.
        NotImplementedHereError: data that a driver is to fetch.
    """
    _check_annotations(spec)
    if spec.driver is not None:
        raise NotImplementedHereError(f"secret driver {spec.driver.name}: not implemented")
    _check_data("secret", spec.data, SECRET_MAX_BYTES)
    _check_templating(spec.templating)


def check_config(spec: ConfigSpec) -> None:
    """Refuses what cannot be a new config.

    Raises:
        InvalidInputError: in Docker's words.
    """
    _check_annotations(spec)
    _check_data("config", spec.data, CONFIG_MAX_BYTES)
    _check_templating(spec.templating)


def _check_annotations(spec: SecretSpec | ConfigSpec) -> None:
    if not spec.name:
        raise InvalidInputError("name must be provided")
    if len(spec.name) > NAME_MAX_CHARACTERS or not _NAME.fullmatch(spec.name):
        raise InvalidInputError(
            f"invalid name, only {NAME_MAX_CHARACTERS} [a-zA-Z0-9-_.] characters allowed, "
            "and the start and end character must be [a-zA-Z0-9]"
        )
    check_labels(spec.labels)


def _check_data(noun: str, data: bytes, limit: int) -> None:
    if not 0 < len(data) < limit:
        raise InvalidInputError(f"{noun} data must be larger than 0 and less than {limit} bytes")


def _check_templating(driver: Driver | None) -> None:
    if driver is not None and driver.name not in TEMPLATE_DRIVERS:
        known = ", ".join(sorted(TEMPLATE_DRIVERS))
        raise InvalidInputError(f"unknown template driver: {driver.name}", hint=f"known: {known}")
