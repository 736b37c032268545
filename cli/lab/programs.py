"""Programs of the machine, such as ``ip`` and ``nft``: run to their end, in a network namespace when told so."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from common.errors import SystemFailureError

COMMAND_SECONDS_MAX = 120
PACKAGES = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setsid": "util-linux",
    "hostname": "hostname",
    "umount": "mount",
    "busybox": "busybox-static",
}
"""What the lab runs, and the Debian package that has it."""
_LISTEN_VARIABLES = ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
REPOSITORY = Path(__file__).resolve().parents[2]
"""Where our packages are, installed or not."""


kept_open: set[int] = set()
"""Descriptors that each program has, too, while it runs. They are locks: should this process be killed, nobody takes
one before what it had begun has ended.
"""


class ProgramFailedError(SystemFailureError):
    """A program said no; the message holds what it said."""


def run(
    *command: str | Path, check: bool = True, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end and gives what it said. An interrupt at the terminal is not for it.

    Raises:
        ProgramFailedError: it did not end well, and that is not for the caller to look at.
        SystemFailureError: it is not there, or takes too long.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=False,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            timeout=COMMAND_SECONDS_MAX,
            process_group=0,
            pass_fds=kept_open,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SystemFailureError(f"cannot run {words[0]}: {error}") from error
    if check and done.returncode:
        said = f"{done.stdout}{done.stderr}".strip()
        raise ProgramFailedError(f"{' '.join(words)}: exit code {done.returncode}: {said}")
    return done


def inside(namespace: str) -> list[str]:
    """The words before a command that is to run in a network namespace.

    (``ip netns exec`` would hide /sys/fs/cgroup.)
    """
    return ["nsenter", f"--net=/run/netns/{namespace}", "--"]


def ip(namespace: str, lines: Iterable[str], *, check: bool = True) -> None:
    """Has one ``ip`` do all of these in a namespace, in order; without ``check`` it goes on after one that fails."""
    force = [] if check else ["-force"]
    run("ip", *force, "-n", namespace, "-batch", "-", text="\n".join(lines) + "\n", check=check)


def namespaces(prefix: str) -> Sequence[str]:
    """Network namespaces with a name that begins so."""
    root = Path("/run/netns")
    return sorted(path.name for path in root.glob(f"{prefix}*")) if root.is_dir() else ()


def missing_programs() -> Mapping[str, str]:
    """What is not there of what the lab needs, and the packages that have it."""
    return {name: package for name, package in PACKAGES.items() if shutil.which(name) is None}


def environment(compiled: Path) -> dict[str, str]:
    """For programs of ours; where Python is told to keep no compiled modules beside the source, it keeps them there.

    Compiling all of swarmd takes more than a second of a processor, at each start of each host.
    """
    result = dict(os.environ)
    for name in _LISTEN_VARIABLES:  # these are for whom systemd started
        result.pop(name, None)
    result["PYTHONPATH"] = str(REPOSITORY)
    if result.pop("PYTHONDONTWRITEBYTECODE", ""):
        result.setdefault("PYTHONPYCACHEPREFIX", str(compiled))
    return result


def compile_swarmd(compiled: Path) -> None:
    """Has Python compile swarmd once, unless that is done: else each host that starts would do it, all at once."""
    settings = environment(compiled)
    prefix = settings.get("PYTHONPYCACHEPREFIX") or None
    here = REPOSITORY / "cli" / "swarmd" / "daemon.py"
    tag = sys.implementation.cache_tag
    beside = here.parent / "__pycache__" / f"{here.stem}.{tag}.pyc"
    elsewhere = Path(f"{prefix}{here.with_suffix('')}.{tag}.pyc")
    if not (elsewhere if prefix else beside).exists():
        subprocess.run(
            [sys.executable, "-P", "-c", "import cli.swarmd.daemon"],
            stdin=subprocess.DEVNULL, capture_output=True, env=settings, check=False,
            timeout=COMMAND_SECONDS_MAX, process_group=0, pass_fds=kept_open,
        )  # fmt: skip
