"""What the kernel would answer: programs are run by an interpreter of classic BPF."""

import errno
import json
from dataclasses import replace

import pytest

from common.errors import InvalidInputError
from tests.support.bpf import answer
from worker.kernel.libseccomp import (
    ALLOW,
    INSTRUCTIONS_MAX,
    KILL_THREAD,
    Comparison,
    Condition,
    Filter,
    FilterRule,
    compile_filter,
    errno_action,
)
from worker.runtime.capabilities import DEFAULT_CAPABILITIES
from worker.runtime.seccomp import Machine, filter_for
from worker.runtime.seccomp_default import DEFAULT_PROFILE
from worker.runtime.seccomp_programs import BUILTIN, UNCONFINED, seccomp_program

X86_64, X86 = 0xC000003E, 0x40000003
X32_BIT = 0x40000000
MACHINE = Machine(architecture="x86_64", kernel=(6, 1))
NOT_PERMITTED, NO_SUCH_CALL = errno_action(errno.EPERM), errno_action(errno.ENOSYS)


def default_for(*more: str) -> bytes:
    return compile_filter(filter_for(DEFAULT_PROFILE, DEFAULT_CAPABILITIES | {*more}, MACHINE))


@pytest.fixture(scope="module")
def default() -> bytes:
    return default_for()


NEW_USER, NEW_MOUNTS, THREAD = 0x10000000, 0x00020000, 0x3D0F00
CALLS = {
    "read": (X86_64, 0, (), ALLOW),
    "execve": (X86_64, 59, (), ALLOW),
    "futex": (X86_64, 202, (), ALLOW),
    "ptrace": (X86_64, 101, (), ALLOW),
    "a thread": (X86_64, 56, (THREAD,), ALLOW),
    "a process": (X86_64, 56, (17,), ALLOW),
    "a process in a new user namespace": (X86_64, 56, (NEW_USER | 17,), NOT_PERMITTED),
    "clone3": (X86_64, 435, (), NO_SUCH_CALL),
    "unshare": (X86_64, 272, (NEW_MOUNTS,), NOT_PERMITTED),
    "setns": (X86_64, 308, (), NOT_PERMITTED),
    "mount": (X86_64, 165, (), NOT_PERMITTED),
    "open_tree": (X86_64, 428, (), NOT_PERMITTED),
    "bpf": (X86_64, 321, (), NOT_PERMITTED),
    "keyctl": (X86_64, 250, (), NOT_PERMITTED),
    "add_key": (X86_64, 248, (), NOT_PERMITTED),
    "userfaultfd": (X86_64, 323, (), NOT_PERMITTED),
    "io_uring_setup": (X86_64, 425, (), NOT_PERMITTED),
    "open_by_handle_at": (X86_64, 304, (), NOT_PERMITTED),
    "kexec_load": (X86_64, 246, (), NOT_PERMITTED),
    "init_module": (X86_64, 175, (), NOT_PERMITTED),
    "settimeofday": (X86_64, 164, (), NOT_PERMITTED),
    "chroot, by the capability that is had": (X86_64, 161, (), ALLOW),
    "a TCP socket": (X86_64, 41, (2, 1), ALLOW),
    "a netlink socket": (X86_64, 41, (16, 3), ALLOW),
    "a socket of the kernel's cryptography": (X86_64, 41, (38, 5), NOT_PERMITTED),
    "a socket to the hypervisor": (X86_64, 41, (40, 1), NOT_PERMITTED),
    "asking for the personality": (X86_64, 135, (0xFFFFFFFF,), ALLOW),
    "switching off address randomization": (X86_64, 135, (0x0040000,), NOT_PERMITTED),
    "a call of a future kernel": (X86_64, 999, (), NO_SUCH_CALL),
    "read, of 32 bits": (X86, 3, (), ALLOW),
    "mount, of 32 bits": (X86, 21, (), NOT_PERMITTED),
    "a call of a future kernel, of 32 bits": (X86, 999, (), NO_SUCH_CALL),
    "read, of x32": (X86_64, X32_BIT, (), ALLOW),
    "mount, of x32": (X86_64, X32_BIT | 165, (), NOT_PERMITTED),
    "a call of a future kernel, of x32": (X86_64, X32_BIT | 999, (), NO_SUCH_CALL),
    "read, of a foreign architecture": (0xC00000B7, 63, (), KILL_THREAD),
}


@pytest.mark.parametrize(
    ("architecture", "number", "arguments", "expected"), CALLS.values(), ids=CALLS
)
def test_the_default_profile_answers_to(
    default: bytes, architecture: int, number: int, arguments: tuple[int, ...], expected: int
) -> None:
    assert answer(default, architecture, number, *arguments) == expected


WITH_CAPABILITY = {
    "mount": ("CAP_SYS_ADMIN", 165, (), ALLOW),
    "clone3": ("CAP_SYS_ADMIN", 435, (), ALLOW),
    "clone of a user namespace": ("CAP_SYS_ADMIN", 56, (NEW_USER,), ALLOW),
    "keyctl, all the same": ("CAP_SYS_ADMIN", 250, (), NOT_PERMITTED),
    "open_by_handle_at": ("CAP_DAC_READ_SEARCH", 304, (), ALLOW),
    "init_module": ("CAP_SYS_MODULE", 175, (), ALLOW),
    "settimeofday": ("CAP_SYS_TIME", 164, (), ALLOW),
    "syslog": ("CAP_SYSLOG", 103, (), ALLOW),
    "bpf": ("CAP_BPF", 321, (), ALLOW),
    "mbind": ("CAP_SYS_NICE", 237, (), ALLOW),
}


@pytest.mark.parametrize(
    ("capability", "number", "arguments", "expected"), WITH_CAPABILITY.values(), ids=WITH_CAPABILITY
)
def test_a_capability_brings_its_calls(
    capability: str, number: int, arguments: tuple[int, ...], expected: int
) -> None:
    assert answer(default_for(capability), X86_64, number, *arguments) == expected


def test_the_kernel_takes_the_default_profile(default: bytes) -> None:
    assert len(default) % 8 == 0
    assert len(default) // 8 < INSTRUCTIONS_MAX / 2


def test_a_program_is_made_once() -> None:
    first = seccomp_program("", DEFAULT_CAPABILITIES)
    assert seccomp_program(BUILTIN, DEFAULT_CAPABILITIES) is first


def test_unconfined_is_no_filter() -> None:
    assert seccomp_program(UNCONFINED, DEFAULT_CAPABILITIES) == b""


def test_a_profile_of_ones_own() -> None:
    text = json.dumps(
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [
                {"names": ["mkdir", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
                {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            ],
        }
    )
    program = seccomp_program(text, frozenset())
    assert answer(program, X86_64, 83) == errno_action(13)
    assert answer(program, X86_64, 0) == ALLOW
    assert answer(program, X86_64, 999) == ALLOW
    assert answer(program, X86, 3) == KILL_THREAD


FILTER = Filter(
    default_action=NOT_PERMITTED, architectures=("x86_64",), rules=(FilterRule("read", ALLOW),)
)


def test_an_architecture_that_the_machine_cannot_run_is_left_out() -> None:
    wider = replace(FILTER, architectures=("x86_64", "no_such_machine", "s390x"))
    assert compile_filter(wider) == compile_filter(FILTER)


def test_a_filter_for_no_architecture_of_the_machine_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no architecture of this machine"):
        compile_filter(replace(FILTER, architectures=("no_such_machine",)))


def test_a_program_that_the_kernel_would_not_take_is_refused() -> None:
    rules = tuple(
        FilterRule("read", ALLOW, (Condition(1, Comparison.EQ, number << 33 | number),))
        for number in range(2000)
    )
    with pytest.raises(InvalidInputError, match="more than the kernel's 4096"):
        compile_filter(replace(FILTER, rules=rules))
