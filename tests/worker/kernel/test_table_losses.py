from collections.abc import Mapping

import pytest

from worker.kernel.netlink_socket import Received, text
from worker.kernel.table_losses import is_loss

NEW_RULE, DELETED_TABLE, DELETED_CHAIN, DELETED_RULE, DELETED_ELEMENT = (
    0xA00 | kind for kind in (6, 2, 5, 8, 14)
)
OURS, THEIRS = 3_464_448_076, 17_976


def told(kind: int, table: str = "swarmd", port: int = THEIRS) -> Received:
    return Received(kind, port, b"\1\0\0\0" + text(1, table))


CASES: Mapping[str, tuple[Received, bool]] = {
    "our table": (told(DELETED_TABLE), True),
    "a chain of ours": (told(DELETED_CHAIN), True),
    "a rule of ours": (told(DELETED_RULE), True),
    "an element of ours": (told(DELETED_ELEMENT), True),
    "a rule of ours, deleted by us": (told(DELETED_RULE, port=OURS), False),
    "a rule of another table": (told(DELETED_RULE, table="filter"), False),
    "a rule that somebody adds": (told(NEW_RULE), False),
    "nothing we know": (Received(DELETED_RULE, THEIRS, b""), False),
}


@pytest.mark.parametrize(("message", "expected"), CASES.values(), ids=CASES)
def test_a_deletion_by_others_is_a_loss(message: Received, *, expected: bool) -> None:
    assert is_loss(message, {OURS}) is expected
