"""swarmctl config: data that services get as a file."""

import base64
from typing import Any

from cli.swarmctl.payload_commands import Noun, group, head_lines, time_lines


def _pretty(config: dict[str, Any]) -> str:
    data = base64.b64decode(config["Spec"].get("Data", "")).decode(errors="replace")
    return "\n".join([*head_lines(config), *time_lines(config), "Data:", data])


command = group(
    Noun(
        word="config",
        columns={"ID": "ID", "Name": "NAME", "CreatedAt": "CREATED", "UpdatedAt": "UPDATED"},
        pretty=_pretty,
    )
)
