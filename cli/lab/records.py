"""Which labs there are, on disk: what each was made as, so that later commands find it, and who may change it now.

```
 /var/lib/swarmd-lab/NAME/lab.json     what it was made as; the whole directory appears with it, and goes last
                    /NAME/m1/          a host's disk and log; it survives a reboot of the machine, as a disk does
 /run/swarmd-lab/NAME/m1/              a host's memory; it does not
```

Whoever changes a lab holds a lock on its directory (the kernel lets go of it however the command ends): one that makes
or removes it alone, those that do something to single hosts together, each with a lock on its host's directory.
"""

import contextlib
import fcntl
import ipaddress
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from cli.lab.programs import kept_open
from cli.lab.waiting import TooLateError, wait_for
from common.errors import ConflictError, InvalidInputError, NotFoundError, SystemFailureError
from common.files import replace_durably

SWITCH = "switch"
"""Whoever makes the switch again takes it for a host."""
STATE_ROOT = Path("/var/lib/swarmd-lab")
RUN_ROOT = Path("/run/swarmd-lab")
NAME_CHARACTERS_MAX = 32
HOSTS_MAX = 100
LOCK_SECONDS_MAX = 60.0
NETWORKS = ipaddress.IPv4Network("10.124.0.0/16")
"""Each lab has a /24 of its own here. No route leads there from the machine."""
NETWORK_PREFIX = 24
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{NAME_CHARACTERS_MAX - 1}}}")
_LIKE_A_HOST = re.compile(r".*-[mw][0-9]+")
_RECORD = "lab.json"
_UNFINISHED = ".unfinished-"
_NAMESPACES = Path("/run/netns")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a lab was made as."""

    name: str
    managers: int
    workers: int
    network: str
    log_level: str = "info"
    is_complete: bool = False
    """Whether all of it was made: else ``lab up`` ended in the middle."""

    @property
    def manager_names(self) -> list[str]:
        """Of the hosts that were made managers."""
        return [f"m{number}" for number in range(1, self.managers + 1)]

    @property
    def worker_names(self) -> list[str]:
        """Of the others."""
        return [f"w{number}" for number in range(1, self.workers + 1)]

    @property
    def hosts(self) -> list[str]:
        """All names; a host's place among them is its address."""
        return [*self.manager_names, *self.worker_names]

    @property
    def namespaces(self) -> list[str]:
        """Names of all network namespaces: the switch's, then the hosts'."""
        return [self.name, *(f"{self.name}-{host}" for host in self.hosts)]


def check(plan: Plan) -> None:
    """Refuses what cannot be.

    Raises:
        InvalidInputError: and why.
    """
    check_name(plan.name)
    if _LIKE_A_HOST.fullmatch(plan.name):
        raise InvalidInputError(f"invalid lab name {plan.name!r}: it ends like a host's")
    if plan.managers < 1 or plan.workers < 0:
        raise InvalidInputError("a lab has at least one manager")
    if len(plan.hosts) > HOSTS_MAX:
        raise InvalidInputError(f"a lab has at most {HOSTS_MAX} hosts, not {len(plan.hosts)}")


def check_name(name: str) -> None:
    """Refuses what can name no lab: it names directories and namespaces.

    Raises:
        InvalidInputError: and why.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"invalid lab name {name!r}: letters, digits, '_', '.' and '-', "
            f"at most {NAME_CHARACTERS_MAX}, a letter or digit first"
        )


def free_network(taken: Sequence[str]) -> str:
    """The first network that no lab has.

    Raises:
        ConflictError: all are taken.
    """
    for network in NETWORKS.subnets(new_prefix=NETWORK_PREFIX):
        if str(network) not in taken:
            return str(network)
    raise ConflictError("there are too many labs: no network is free")


class Records:
    """All labs of the machine."""

    def __init__(
        self,
        state_root: Path = STATE_ROOT,
        run_root: Path = RUN_ROOT,
        on_wait: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """Labs in these directories; ``on_wait`` is told when another command is waited for."""
        self._state_root, self._run_root, self._on_wait = state_root, run_root, on_wait

    def state(self, name: str) -> Path:
        """The directory of a lab that survives a reboot."""
        return self._state_root / name

    def memory(self, name: str) -> Path:
        """The one that does not."""
        return self._run_root / name

    def names(self) -> list[str]:
        """Of all labs."""
        return sorted(path.parent.name for path in self._state_root.glob(f"[!.]*/{_RECORD}"))

    def read(self, name: str) -> Plan:
        """What a lab was made as.

        Raises:
            NotFoundError: there is none of that name.
            SystemFailureError: its record cannot be read.
        """
        check_name(name)
        try:
            raw = json.loads((self.state(name) / _RECORD).read_bytes())
            known = {field.name for field in fields(Plan)}
            return Plan(**{key: value for key, value in raw.items() if key in known})
        except FileNotFoundError:
            there = ", ".join(self.names())
            hint = f"there are: {there}" if there else "there is none; swarmctl lab up makes one"
            raise NotFoundError(f"there is no lab {name!r}", hint=hint) from None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            path = self.state(name) / _RECORD
            raise SystemFailureError(f"cannot read {path}: {error}") from error

    # --------------------------------------------------------------------------- who may change

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[Plan]:
        """Nobody else changes anything of the lab for as long as the context lasts."""
        self.read(name)
        with self._held(self.state(name), fcntl.LOCK_EX, f"lab {name}"):
            yield self.read(name)

    @contextlib.contextmanager
    def with_others(self, name: str, hosts: Sequence[str]) -> Iterator[Plan]:
        """Nobody removes the lab meanwhile, and nobody else does anything to these hosts of it."""
        self.read(name)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._held(self.state(name), fcntl.LOCK_SH, f"lab {name}"))
            for host in sorted(
                set(hosts)
            ):  # all in the same order: nobody waits for one who waits for him
                directory = self.state(name) / host
                directory.mkdir(mode=0o700, exist_ok=True)
                what = f"{host} of lab {name}"
                stack.enter_context(self._held(directory, fcntl.LOCK_EX, what))
            yield self.read(name)

    @contextlib.contextmanager
    def _held(self, directory: Path, kind: int, what: str) -> Iterator[None]:
        """A lock on a directory, and it is still the one that the name stands for."""
        try:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFoundError(f"{what} is gone") from None
        try:
            if not _lock(descriptor, kind):
                self._on_wait(f"another command is changing {what}: waiting for it")
                try:
                    wait_for(what, lambda: _lock(descriptor, kind), seconds=LOCK_SECONDS_MAX)
                except TooLateError:
                    raise ConflictError(f"another command is changing {what}") from None
            if not _is_named(descriptor, directory):
                raise NotFoundError(f"{what} is gone")
            kept_open.add(descriptor)
            yield
        finally:
            kept_open.discard(descriptor)
            os.close(descriptor)

    # ------------------------------------------------------------------------- begin and end

    @contextlib.contextmanager
    def new(self, wanted: Plan) -> Iterator[Plan]:
        """Writes the record of a new lab, with a network of its own; nobody else changes it while the context lasts.

        Raises:
            ConflictError: there is one of that name, or something else has a name that it needs.
        """
        check(wanted)
        for root in (self._state_root, self._run_root):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            with self._held(self._state_root, fcntl.LOCK_EX, "the list of labs"):
                self._refuse_if_taken(wanted)
                taken = [self.read(name).network for name in self.names()]
                plan = replace(wanted, network=free_network(taken))
                fresh = self._written(plan)
                stack.enter_context(self._held(fresh, fcntl.LOCK_EX, f"lab {plan.name}"))
                fresh.rename(self.state(plan.name))
            yield plan

    def _refuse_if_taken(self, wanted: Plan) -> None:
        if self.state(wanted.name).exists():
            is_complete = self.read(wanted.name).is_complete
            raise ConflictError(
                f"there is a lab {wanted.name!r} already"
                + ("" if is_complete else ", though not all of it: making it was broken off"),
                hint=f"swarmctl lab down --name {wanted.name} removes it; --name makes another one",
            )
        for name in wanted.namespaces:
            if (_NAMESPACES / name).exists():
                raise ConflictError(
                    f"there is a network namespace {name!r} already, which is not of this lab",
                    hint="choose another name with --name",
                )

    def _written(self, plan: Plan) -> Path:
        """The directory of a new lab, which nobody finds yet."""
        self._sweep()
        fresh = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._state_root))
        _write(fresh, plan)
        return fresh

    def _sweep(self) -> None:
        """Removes what was begun or left by whoever was killed; for whoever holds the list of labs."""
        for left in self._state_root.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left)

    def complete(self, plan: Plan) -> None:
        """Notes that all of it was made."""
        _write(self.state(plan.name), replace(plan, is_complete=True))

    def remove(self, name: str) -> None:
        """Removes all directories of a lab, its record last; for whoever holds it alone."""
        shutil.rmtree(self.memory(name), ignore_errors=True)
        state = self.state(name)
        for path in state.iterdir():
            if path.name != _RECORD:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        with self._held(self._state_root, fcntl.LOCK_EX, "the list of labs"):
            state.rename(self._state_root / f"{_UNFINISHED}{name}")  # nobody finds half of it
            self._sweep()
            for root in (self._run_root, self._state_root):
                with contextlib.suppress(OSError):  # there are other labs
                    root.rmdir()


def _write(directory: Path, plan: Plan) -> None:
    text = json.dumps(asdict(plan), indent=2)
    replace_durably(directory / _RECORD, f"{text}\n".encode())


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
