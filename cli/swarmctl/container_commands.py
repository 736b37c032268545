"""The table of the commands for containers: their modules are imported when they are named."""

from collections.abc import Mapping

from cli.swarmctl.command_line import Lazy


def _in(module: str, attribute: str, text: str) -> Lazy:
    return Lazy(text, f"cli.swarmctl.containers.{module}", attribute)


CONTAINER_COMMANDS: Mapping[str, Lazy] = {
    "attach": _in("attach", "attach", "Join a container that runs: its output, and its input"),
    "commit": _in("files", "commit", "Make an image of what a container has changed"),
    "cp": _in("copying", "cp", "Copy files between a container and here"),
    "create": _in("run", "create", "Make a container, without starting it"),
    "diff": _in("files", "diff", "Show what a container has changed of its image"),
    "exec": _in("exec", "exec_", "Run a command in a container that runs"),
    "export": _in("files", "export", "Write a container's file system as a tar archive"),
    "inspect": _in("lists", "inspect", "Show everything about containers"),
    "kill": _in("changes", "kill", "Send containers a signal"),
    "logs": _in("lists", "logs", "Show what a container wrote"),
    "ls": _in("lists", "ls", "List containers"),
    "pause": _in("changes", "pause", "Hold all processes of containers"),
    "port": _in("lists", "port", "Show where a container's ports are published"),
    "prune": _in("changes", "prune", "Remove all containers that have ended"),
    "rename": _in("changes", "rename", "Give a container another name"),
    "restart": _in("changes", "restart", "Stop containers and start them again"),
    "rm": _in("changes", "remove", "Remove containers"),
    "run": _in("run", "run", "Make a container and start it"),
    "start": _in("attach", "start", "Start containers"),
    "stats": _in("stats", "stats", "Show what containers use, as it changes"),
    "stop": _in("changes", "stop", "Stop containers"),
    "top": _in("lists", "top", "Show the processes of a container"),
    "unpause": _in("changes", "unpause", "Let the processes of containers go on"),
    "update": _in("changes", "update", "Change the limits of containers"),
    "wait": _in("changes", "wait", "Wait until containers end; show their exit codes"),
    "ps": _in("lists", "ls", "List containers")._replace(section=""),
}
"""Name, and what stands behind it."""
