"""Composes worker, manager and API into one process, and starts and stops them in order."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cli.swarmd.life import Surroundings
from cli.swarmd.listeners import Listeners
from cli.swarmd.local_api import LocalApi
from cli.swarmd.lock import PidFile
from cli.swarmd.options import RELOADABLE, Options, parse_arguments
from cli.swarmd.service_manager import READY, STOPPING, ServiceManager
from cli.swarmd.swarm_node import SwarmNode
from common.clock import SystemClock
from common.engine_api.application import engine_application
from common.errors import SwarmdError
from common.events import EventLog
from common.ids import system_chance
from common.log import set_up_logging
from common.version import VERSION
from manager.api import routes as cluster_routes
from manager.api.elsewhere import elsewhere
from worker.node import WorkerNode, WorkerOptions
from worker.runtime.remap import remap_of

STOP_SECONDS_MAX = 30.0
"""Stopping in order takes at most this long; after it swarmd ends at once. Containers go on either way."""
STOP_LATE_STATUS = 75
"""EX_TEMPFAIL of sysexits(3)."""
log = logging.getLogger("swarmd")


class Daemon:
    """One swarmd."""

    def __init__(self, options: Options, arguments: Sequence[str], config_file: Path) -> None:
        self._options, self._arguments, self._config_file = options, arguments, config_file
        self._clock, self._chance = SystemClock(), system_chance()
        self._events = EventLog(self._clock)
        self._stop = asyncio.Event()
        self._worker: WorkerNode | None = None
        self._service_manager = ServiceManager()

    async def run(self) -> None:
        """Starts everything, waits for SIGTERM or SIGINT, stops everything.

        Should a part fail of itself, that ends the waiting (the part's task group cancels this task) and everything
        is stopped: there is no half of a daemon.

        Raises:
            SwarmdError: something cannot be started; what was started is stopped again.
            BaseExceptionGroup: what failed while it ran.
        """
        lock = PidFile(self._options.exec_root / "swarmd.pid")
        lock.take()
        try:
            async with contextlib.AsyncExitStack() as stack:
                self._listen_to_signals()
                try:
                    if await self._start(stack):
                        log.info(
                            "swarmd is ready",
                            extra={"version": VERSION, "api": " ".join(self._options.listeners)},
                        )
                        self._service_manager.tell(READY)
                    await self._stop.wait()
                finally:
                    self._begin_to_stop()
        finally:
            lock.release()

    async def _start(self, stack: contextlib.AsyncExitStack) -> bool:
        """Starts from the ground up; the stack stops in the opposite order. False: told to stop on the way."""
        options = self._options
        worker = await stack.enter_async_context(
            WorkerNode(_worker_options(options), self._events, self._clock, self._chance)
        )
        self._worker = worker
        if self._stop.is_set():
            return False
        api = LocalApi()
        node = SwarmNode(
            Surroundings(
                data_root=options.data_root,
                worker=worker,
                api=api,
                addresses=worker.addresses,
                events=self._events,
                clock=self._clock,
                chance=self._chance,
            )
        )
        await stack.enter_async_context(node)
        if self._stop.is_set():
            return False
        routes = [
            *cluster_routes(node, worker, self._events, self._clock, self._chance),
            *worker.routes(),
        ]
        application = engine_application(
            routes, server=f"swarmd/{VERSION} (linux)", elsewhere=elsewhere(node)
        )
        listeners = Listeners(application, options, api)
        await stack.enter_async_context(listeners)
        return True

    def _begin_to_stop(self) -> None:
        log.info("swarmd stops")
        self._service_manager.tell(STOPPING)
        asyncio.get_running_loop().call_later(STOP_SECONDS_MAX, _end_at_once)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        """Reads the settings again and applies what can be applied while running."""
        try:
            fresh, _ = parse_arguments(self._arguments)
        except SwarmdError as error:
            log.error("the settings were not reloaded", extra={"reason": error})  # noqa: TRY400 - told in full
            return
        for name in Options.__dataclass_fields__:
            if getattr(fresh, name) != getattr(self._options, name) and name not in RELOADABLE:
                log.warning(
                    "this setting takes effect after a restart",
                    extra={"setting": name.replace("_", "-")},
                )
        set_up_logging(fresh.log_level)
        if self._worker is not None:
            self._worker.redescribe(fresh.labels, fresh.generic_resources)
        self._options = replace(
            self._options, **{name: getattr(fresh, name) for name in RELOADABLE}
        )
        log.info(
            "settings reloaded",
            extra={"log_level": fresh.log_level, "label": ",".join(fresh.label)},
        )


def _end_at_once() -> None:
    log.critical("stopping in order takes too long: swarmd ends at once")
    logging.shutdown()
    os._exit(STOP_LATE_STATUS)


def _worker_options(options: Options) -> WorkerOptions:
    return WorkerOptions(
        data_root=options.data_root,
        exec_root=options.exec_root,
        cgroup_parent=options.cgroup_parent,
        default_runtime=options.default_runtime,
        bridge=options.bridge,
        pools=options.default_address_pool,
        labels=options.labels,
        generic_resources=options.generic_resources,
        remap=remap_of(options.userns_remap),
        version=VERSION,
    )
