"""Tasks: list and inspect."""

from collections.abc import Collection

from aiohttp import web

from common.engine_api.filters import Filters
from common.engine_api.http import filters, json_list_response, json_response
from common.model.task import Task
from manager.api.access import state_of
from manager.api.filters import TASK_FILTERS, check_task_filters, shows_task
from manager.api.ports import SwarmNode
from manager.api.render.task import TaskRenderer
from manager.orchestrator.dirty import is_dirty
from manager.store.state import State


class Tasks:
    """The handlers of ``/tasks``."""

    def __init__(self, node: SwarmNode) -> None:
        self._node = node

    async def list(self, request: web.Request) -> web.StreamResponse:
        """``GET /tasks``."""
        state = state_of(self._node)
        wanted = filters(request, *TASK_FILTERS)
        check_task_filters(wanted)
        wanted = self._resolved(state, wanted)

        def is_up_to_date(task: Task) -> bool:
            service = state.services.get(task.service_id)
            node = state.nodes.get(task.node_id)
            return service is not None and not is_dirty(task, service, node)

        shown = [
            task for task in _candidates(state, wanted) if shows_task(wanted, task, is_up_to_date)
        ]
        return await json_list_response(request, shown, TaskRenderer().render)

    async def inspect(self, request: web.Request) -> web.Response:
        """``GET /tasks/{id}``."""
        task = state_of(self._node).find_task(request.match_info["id"])
        return json_response(TaskRenderer().render(task))

    def _resolved(self, state: State, wanted: Filters) -> Filters:
        """Names of services and nodes become ids; ``self`` is this node.

        Raises:
            NotFoundError: there is no such service or node.
        """
        values = dict(wanted.values)
        if "service" in values:
            values["service"] = frozenset(
                state.find_service(reference).id for reference in values["service"]
            )
        if "node" in values:
            values["node"] = frozenset(
                self._node.node_id if reference == "self" else state.find_node(reference).id
                for reference in values["node"]
            )
        return Filters(values)


def _candidates(state: State, wanted: Filters) -> Collection[Task]:
    """As few tasks as the indexes can tell."""
    if "service" in wanted.values:
        return [task for id_ in wanted.get("service") for task in state.tasks_of_service(id_)]
    if "node" in wanted.values:
        return [task for id_ in wanted.get("node") for task in state.tasks_of_node(id_)]
    return state.tasks.values()
