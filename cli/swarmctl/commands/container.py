"""swarmctl container: containers of this node, or of another."""

from cli.swarmctl.command_line import LazyGroup
from cli.swarmctl.container_commands import CONTAINER_COMMANDS

command = LazyGroup(
    name="container",
    help="Handle containers of this node, or with --node of another.",
    lazy=CONTAINER_COMMANDS,
)
