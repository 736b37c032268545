"""A node as ``GET /nodes`` shows it."""

from typing import Any

from common.engine_json import render
from common.model.node import ManagerStatus, Node
from manager.api.render.head import head
from manager.api.render.spec import without_zeros

Json = dict[str, Any]


def render_node(node: Node, standing: ManagerStatus | None = None) -> Json:
    """Engine API ``Node``; ``standing`` is that of a manager."""
    description: Json = render(node.description)
    description["Resources"] = without_zeros(description["Resources"])
    result = {
        **head(node),
        "Spec": render(node.spec),
        "Description": description,
        "Status": render(node.status),
    }
    if standing is not None:
        result["ManagerStatus"] = render(standing)
    return result
