"""Names and labels of services."""

import difflib
import re
from collections.abc import Mapping

from common.disconnect import STOP_AFTER_LABEL
from common.errors import InvalidInputError

NAME_MAX_CHARACTERS = 63
"""A service's name is one label of a DNS name."""
OWN_LABEL_PREFIX = "swarmd."
OWN_LABELS: frozenset[str] = frozenset({STOP_AFTER_LABEL})
"""Labels that switch on what Docker lacks; each is documented in docs/."""

_DNS_NAME = re.compile(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*")


def check_name(name: str) -> None:
    """Refuses what cannot be a service's name.

    Raises:
        InvalidInputError: in Docker's words.
    """
    if not name:
        raise InvalidInputError("meta: name must be provided")
    if len(name) > NAME_MAX_CHARACTERS:
        raise InvalidInputError(f"name must be {NAME_MAX_CHARACTERS} characters or fewer")
    if not _DNS_NAME.fullmatch(name):
        raise InvalidInputError("name must be valid as a DNS name component")


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuses labels in our own name space that mean nothing to us, so that a typo is no silent loss.

    Raises:
        InvalidInputError: names the label, and the nearest known one.
    """
    for label in labels:
        if label.startswith(OWN_LABEL_PREFIX) and label not in OWN_LABELS:
            near = difflib.get_close_matches(label, OWN_LABELS, n=1)
            known = f"labels of ours are: {', '.join(sorted(OWN_LABELS))}"
            hint = f"did you mean {near[0]}?" if near else known
            raise InvalidInputError(f"unknown label {label}", hint=hint)
