import json

from worker.kernel.libseccomp import (
    ALLOW,
    KILL_PROCESS,
    Comparison,
    Condition,
    Filter,
    FilterRule,
    errno_action,
)
from worker.runtime.capabilities import DEFAULT_CAPABILITIES
from worker.runtime.oci_seccomp import oci_seccomp, seccomp_rules


def test_calls_that_are_treated_alike_are_named_together() -> None:
    masked = Condition(0, Comparison.MASKED_EQ, 0x7E020000, 0)
    wanted = Filter(
        default_action=errno_action(1),
        architectures=("x86_64", "x32"),
        rules=(
            FilterRule("read", ALLOW),
            FilterRule("clone", ALLOW, (masked,)),
            FilterRule("write", ALLOW),
            FilterRule("clone3", errno_action(38)),
            FilterRule("ptrace", KILL_PROCESS),
        ),
    )
    assert oci_seccomp(wanted) == {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": []},
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ALLOW",
                "args": [
                    {"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
                ],
            },
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "args": []},
            {"names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS", "args": []},
        ],
    }


def test_unconfined_is_no_filter() -> None:
    assert seccomp_rules("unconfined", DEFAULT_CAPABILITIES) == b""


def test_the_default_profile_depends_on_the_capabilities() -> None:
    def allowed(*more: str) -> set[str]:
        rules = json.loads(seccomp_rules("", DEFAULT_CAPABILITIES | set(more)))
        return {
            name
            for rule in rules["syscalls"]
            if rule["action"] == "SCMP_ACT_ALLOW" and not rule["args"]
            for name in rule["names"]
        }

    assert "mount" in allowed("CAP_SYS_ADMIN") - allowed()
    assert "read" in allowed()
