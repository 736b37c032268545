"""The handlers of ``/containers``: looking at them."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress

from aiohttp import web

from common.clock import Clock
from common.engine_api.filters import Filters
from common.engine_api.http import filters, flag, integer, json_list_response, json_response
from common.engine_api.logs import LogOptions, LogResponse, log_options
from common.engine_api.streaming import while_connected
from common.errors import NotFoundError
from worker.api.name_patterns import name_filter
from worker.api.networks import network_id
from worker.api.port_filters import exposes, publishes
from worker.api.render.container import render_container, render_container_summary
from worker.api.render.shown import Around
from worker.api.sizes import container_sizes
from worker.containers.engine import LocalEngine
from worker.containers.log_lines import LogQuery
from worker.containers.record import Container
from worker.images.store import ImageStore

FILTERS = (
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
)
_NO_LIMIT = -1


class Containers:
    """Containers of this node."""

    def __init__(self, engine: LocalEngine, images: ImageStore, clock: Clock) -> None:
        self._engine, self._images, self._clock = engine, images, clock

    async def list(self, request: web.Request) -> web.StreamResponse:
        """``GET /containers/json``: those that run; all of them with ``all``, ``limit`` or a filter on the state."""
        wanted, limit = filters(request, *FILTERS), integer(request, "limit", default=_NO_LIMIT)
        every = flag(request, "all") or limit > 0 or wanted.get("status") or wanted.get("exited")
        ancestors, is_named = self._image_ids(wanted), name_filter(wanted)
        before = [self._engine.find(item).created_at for item in wanted.get("before")]
        since = [self._engine.find(item).created_at for item in wanted.get("since")]
        found = [
            container
            for container in self._engine.all()
            if (every or container.is_active)
            and (is_named(container.config.name) or is_named(f"/{container.config.name}"))
            and shows(wanted, container)
            and (ancestors is None or container.image_id in ancestors)
            and all(container.created_at < moment for moment in before)
            and all(container.created_at > moment for moment in since)
        ]
        now = self._clock.now()
        shown = found[:limit] if limit > 0 else found
        sizes = await self._all_sizes(shown) if flag(request, "size") else {}
        return await json_list_response(
            request,
            shown,
            lambda container: render_container_summary(
                container,
                now=now,
                network_id=network_id(container.config.network),
                sizes=sizes.get(container.id, {}),
            ),
        )

    async def _all_sizes(self, shown: Sequence[Container]) -> dict[str, Mapping[str, int]]:
        """Of each but those that are removed meanwhile."""
        found = {}
        for container in shown:
            with suppress(NotFoundError):
                found[container.id] = await container_sizes(
                    self._engine, self._images, container.id
                )
        return found

    def _image_ids(self, wanted: Filters) -> set[str] | None:
        names = wanted.get("ancestor")
        if not names:
            return None
        found = set()
        for name in names:
            try:
                found.add(self._images.resolve(name).id)
            except NotFoundError:
                continue
        return found

    async def inspect(self, request: web.Request) -> web.Response:
        """``GET /containers/{id}/json``."""
        container = self._engine.find(request.match_info["id"])
        wants_sizes = flag(request, "size")
        sizes = (
            await container_sizes(self._engine, self._images, container.id) if wants_sizes else {}
        )
        return json_response(render_container(container, self._around(container, sizes)))

    def _around(self, container: Container, sizes: Mapping[str, int]) -> Around:
        image, places = self._images.resolve(container.image_id), self._engine.places(container.id)
        return Around(
            log_path=self._engine.log_path(container.id),
            etc=places.etc,
            layers=image.layers,
            upper=places.file("upper"),
            work=places.file("work"),
            merged=places.merged,
            entrypoint=image.entrypoint,
            image_volumes=image.volumes,
            exec_ids=self._engine.execs.of(container.id),
            network_id=network_id(container.config.network),
            sizes=sizes,
        )

    async def top(self, request: web.Request) -> web.Response:
        """``GET /containers/{id}/top``."""
        container = self._engine.find(request.match_info["id"])
        table = await self._engine.top(container.id, request.query.get("ps_args", ""))
        return json_response({"Titles": table.titles, "Processes": table.processes})

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """``GET /containers/{id}/logs``."""
        container = self._engine.find(request.match_info["id"])
        options = log_options(request)
        records = self._engine.logs(container.id, _query(options))
        details = self._engine.log_details(container.id)
        response = await LogResponse.begin(request, options, tty=container.config.spec.tty)

        async def copy() -> None:
            async with aclosing(records):
                async for record in records:
                    await response.line(record.stream, record.at, record.data, details)

        await while_connected(request, copy())
        return await response.end()


def _query(options: LogOptions) -> LogQuery:
    return LogQuery(
        stdout=options.stdout,
        stderr=options.stderr,
        since=options.since,
        until=options.until,
        tail=options.tail,
        follow=options.follow,
    )


def shows(wanted: Filters, container: Container) -> bool:
    """Whether the filters that need nothing but the container let it through, but for its name.

    Raises:
        InvalidInputError: ports that are none.
    """
    config = container.config
    is_task = "true" if config.task_id else "false"
    volumes = {name for point in container.mounts for name in (point.name, point.destination)}
    return (
        wanted.accepts_prefix("id", [container.id])
        and wanted.accepts_labels(config.labels)
        and wanted.accepts("status", lambda word: word == container.state.value)
        and wanted.accepts("exited", lambda code: _has_exited(container, code))
        and wanted.accepts("health", lambda state: state == container.health.state.value)
        and wanted.accepts("network", lambda name: name == config.network)
        and wanted.accepts("publish", lambda ports: publishes(container, ports))
        and wanted.accepts("expose", lambda ports: exposes(container, ports))
        and wanted.accepts("volume", lambda name: name in volumes)
        and wanted.accepts(
            "is-task",
            lambda value: value.lower() in (is_task, {"true": "1", "false": "0"}[is_task]),
        )
    )


def _has_exited(container: Container, code: str) -> bool:
    return container.finished_at > 0 and str(container.exit_code) == code
