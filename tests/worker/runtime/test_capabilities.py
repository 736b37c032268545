from pathlib import Path

import pytest

from worker.runtime.capabilities import (
    CAPABILITIES,
    DEFAULT_CAPABILITIES,
    UnknownCapabilityError,
    canonical_capability,
    capability_mask,
    container_capabilities,
)

CASES = {
    "nothing said is Docker's default": ((), (), DEFAULT_CAPABILITIES),
    "adds to the default": (("NET_ADMIN",), (), DEFAULT_CAPABILITIES | {"CAP_NET_ADMIN"}),
    "drops from the default": ((), ("cap_mknod",), DEFAULT_CAPABILITIES - {"CAP_MKNOD"}),
    "drops all but what is added": (("chown",), ("ALL",), frozenset({"CAP_CHOWN"})),
    "drops all": ((), ("all",), frozenset()),
    "adds all": (("ALL",), (), frozenset(CAPABILITIES)),
    "adds all but what is dropped": (
        ("ALL",), ("SYS_ADMIN",), frozenset(CAPABILITIES) - {"CAP_SYS_ADMIN"},
    ),
    "what is added and dropped is had": (("CHOWN",), ("CHOWN",), DEFAULT_CAPABILITIES),
}  # fmt: skip


@pytest.mark.parametrize(("add", "drop", "expected"), CASES.values(), ids=CASES)
def test_add_and_drop(
    add: tuple[str, ...], drop: tuple[str, ...], expected: frozenset[str]
) -> None:
    assert container_capabilities(add, drop) == expected


def test_the_default_mask_is_dockers() -> None:
    assert capability_mask(DEFAULT_CAPABILITIES) == 0xA80425FB


@pytest.mark.parametrize("name", ["NOPE", "CAP_", "", "CAP_ALL"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(UnknownCapabilityError):
        canonical_capability(name)


def test_no_capability_is_missing() -> None:
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert last < len(CAPABILITIES)
    assert len(set(CAPABILITIES)) == len(CAPABILITIES)
