"""Linux capabilities by name, and which of them a container has."""

CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
"""A capability's number is its place here."""

DEFAULT_CAPABILITIES = frozenset(
    {
        "CAP_AUDIT_WRITE",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_MKNOD",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_RAW",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT",
    }
)
"""What Docker gives a container when nobody says otherwise."""

ALL = "ALL"


class UnknownCapabilityError(ValueError):
    """A name that no capability has."""


def canonical_capability(name: str) -> str:
    """Gives "CAP_CHOWN" for "chown", "CHOWN" and "cap_chown"; "ALL" stays.

    Raises:
        UnknownCapabilityError: no capability is called so.
    """
    upper = name.upper()
    if upper == ALL:
        return ALL
    full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if full not in CAPABILITIES:
        raise UnknownCapabilityError(f'invalid capability: "{name}"')
    return full


def container_capabilities(add: tuple[str, ...] = (), drop: tuple[str, ...] = ()) -> frozenset[str]:
    """What a container has: Docker's default, with and without some, by Docker's rules.

    ``--cap-add ALL --cap-drop X`` is everything but X, ``--cap-drop ALL --cap-add X`` is X alone; a capability that
    is both added and dropped is had.

    Raises:
        UnknownCapabilityError: a name is no capability's.
    """
    added = {canonical_capability(name) for name in add}
    dropped = {canonical_capability(name) for name in drop}
    if ALL in added:
        return frozenset(CAPABILITIES) - dropped
    if ALL in dropped:
        return frozenset(added)
    return frozenset((DEFAULT_CAPABILITIES - dropped) | added)


def capability_mask(names: frozenset[str]) -> int:
    """The kernel's bit set for some capabilities.

    Raises:
        UnknownCapabilityError: a name is no capability's.
    """
    mask = 0
    for name in names:
        full = canonical_capability(name)
        if full == ALL:
            return (1 << len(CAPABILITIES)) - 1
        mask |= 1 << CAPABILITIES.index(full)
    return mask
