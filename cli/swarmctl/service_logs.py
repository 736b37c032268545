"""The names before the lines of ``service logs``: "web.1.id@host    | "."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cli.swarmctl import shown
from cli.swarmctl.client import ApiError, Client
from cli.swarmctl.log_stream import split_details

_SERVICE, _NODE, _TASK = (f"com.docker.swarm.{what}.id" for what in ("service", "node", "task"))


@dataclass(frozen=True, slots=True, kw_only=True)
class NameStyle:
    """How names are written, by the flags of docker's."""

    timestamps: bool = False
    details: bool = False
    no_resolve: bool = False
    no_task_ids: bool = False
    no_trunc: bool = False
    slot_width: int = 1
    """Digits of the highest slot, so that the lines are aligned."""


class NamedLines:
    """Turns lines with details into lines with the name of their task."""

    def __init__(self, client: Client, style: NameStyle) -> None:
        self._client, self._style = client, style
        self._known: dict[str, str] = {}

    def line(self, data: bytes) -> bytes:
        """One line with its task's name before it."""
        stamp, details, text = split_details(data, timestamps=self._style.timestamps)
        task_id = details.get(_TASK, "")
        if task_id not in self._known:
            self._known[task_id] = "".join(self._name(task_id, details))
        others = ",".join(
            f"{key}={value}"
            for key, value in sorted(details.items())
            if key not in (_SERVICE, _NODE, _TASK)
        )
        before = f"{stamp.decode()} " if self._style.timestamps else ""
        after = f"{others} " if self._style.details else ""
        return f"{before}{self._known[task_id]}    | {after}".encode() + text

    def _name(self, task_id: str, details: Mapping[str, str]) -> Iterator[str]:
        service, node, slot = details.get(_SERVICE, ""), details.get(_NODE, ""), ""
        try:
            slot = str(self._client.get(f"/tasks/{task_id}").get("Slot") or node)
            if not self._style.no_resolve:
                service = self._client.get(f"/services/{service}")["Spec"]["Name"]
                node = self._client.get(f"/nodes/{node}")["Description"]["Hostname"]
        except ApiError:
            pass  # gone meanwhile: the ids still tell it apart
        yield f"{service}.{slot}" if slot else service
        if not self._style.no_task_ids:
            yield f".{shown.short(task_id, whole=self._style.no_trunc)}"
        yield f"@{node}{' ' * (self._style.slot_width - len(slot))}"
