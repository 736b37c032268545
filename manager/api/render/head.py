"""What every stored object begins with."""

from typing import Any

from common.engine_json import rfc3339
from common.model.meta import Stored


def head(item: Stored) -> dict[str, Any]:
    """``ID``, ``Version``, ``CreatedAt``, ``UpdatedAt``."""
    return {
        "ID": item.id,
        "Version": {"Index": item.version},
        "CreatedAt": rfc3339(item.created_at),
        "UpdatedAt": rfc3339(item.updated_at),
    }
