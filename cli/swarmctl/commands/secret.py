"""swarmctl secret: data that services get as a file, and that nobody reads back."""

from typing import Any

from cli.swarmctl.payload_commands import Noun, group, head_lines, time_lines


def _pretty(secret: dict[str, Any]) -> str:
    driver = (secret["Spec"].get("Driver") or {}).get("Name", "")
    return "\n".join([*head_lines(secret), f"Driver:\t\t\t{driver}", *time_lines(secret)])


command = group(
    Noun(
        word="secret",
        columns={
            "ID": "ID",
            "Name": "NAME",
            "Driver": "DRIVER",
            "CreatedAt": "CREATED",
            "UpdatedAt": "UPDATED",
        },
        pretty=_pretty,
        has_drivers=True,
    )
)
