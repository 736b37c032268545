"""What kind of file system something lies in."""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_STATFS_BYTES = 512
_KERNELS_OWN = frozenset(
    {
        0x9FA0,  # proc
        0x62656572,  # sysfs
        0x27E0EB,  # cgroup
        0x63677270,  # cgroup2
        0x1CD1,  # devpts
        0x19800202,  # mqueue
        0x64626720,  # debugfs
        0x74726163,  # tracefs
        0x73636673,  # securityfs
        0xCAFE4A11,  # bpf
        0x6E736673,  # nsfs
        0xF97CFF8C,  # selinuxfs
        0x62656570,  # configfs
        0x6165676C,  # pstore
        0xDE5E81E4,  # efivarfs
        0x42494E4D,  # binfmt_misc
    }
)
"""Magic numbers (statfs(2)) of file systems that hold no files of anybody's: what is read there is made on the spot."""


def is_kernels_own(descriptor: int) -> bool:
    """Whether what a descriptor stands for lies in /proc, /sys or their like, wherever it is mounted.

    Raises:
        OSError: as fstatfs(2) says.
    """
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    if _libc.fstatfs(ctypes.c_int(descriptor), found) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    kind = int.from_bytes(found.raw[: ctypes.sizeof(ctypes.c_long)], "little")
    return kind & 0xFFFFFFFF in _KERNELS_OWN
