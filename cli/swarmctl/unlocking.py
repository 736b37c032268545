"""swarmctl swarm unlock and unlock-key: the key that locked managers need to start."""

import sys
from typing import Any

import click

from cli.swarmctl.client import Client, current_client

KEY_CHARACTERS_MAX = 1024
"""Of what is read from stdin; a key has 52."""
_HOW = (
    "To unlock a swarm manager after it restarts, run the `swarmctl swarm unlock`\n"
    "command and provide the following key:\n\n"
    "    {}\n\n"
    "Remember to store this key in a password manager, since without it you\n"
    "will not be able to restart the manager."
)


def tell_unlock_key(client: Client) -> None:
    """Shows the key, and what it is for."""
    click.echo(_HOW.format(_unlock_key(client)))


def _unlock_key(client: Client) -> str:
    key: str = client.get("/swarm/unlockkey")["UnlockKey"]
    if not key:
        raise click.ClickException("no unlock key is set")
    return key


@click.command("unlock")
def unlock() -> None:
    """Unlock this manager: asks for the key, or reads it from stdin where that is no terminal."""
    client = current_client()
    state = (client.get("/info").get("Swarm") or {}).get("LocalNodeState")
    if state == "inactive":
        raise click.ClickException("this node is not part of a swarm")
    if state != "locked":
        raise click.ClickException("swarm is not locked")
    client.post("/swarm/unlock", {"UnlockKey": _read_key()})


def _read_key() -> str:
    if sys.stdin.isatty():
        key: str = click.prompt("Enter unlock key", hide_input=True, err=True)
        return key.strip()
    return sys.stdin.readline(KEY_CHARACTERS_MAX).strip()


@click.command("unlock-key")
@click.option("-q", "--quiet", is_flag=True, help="show only the key")
@click.option(
    "--rotate",
    is_flag=True,
    help="make a new one; managers that are down need the former once more",
)
def unlock_key(*, quiet: bool, rotate: bool) -> None:
    """Show the key that locked managers need to start."""
    client = current_client()
    if rotate:
        _rotate(client)
        if not quiet:
            click.echo("Successfully rotated manager unlock key.\n")
    if quiet:
        click.echo(_unlock_key(client))
    else:
        tell_unlock_key(client)


def _rotate(client: Client) -> None:
    swarm = client.get("/swarm")
    if not is_locking(swarm):
        raise click.ClickException("cannot rotate because autolock is not turned on")
    version = str(swarm["Version"]["Index"])
    client.post("/swarm/update", swarm["Spec"], version=version, rotateManagerUnlockKey="true")


def is_locking(swarm: dict[str, Any]) -> bool:
    """Whether its managers are locked."""
    return bool((swarm["Spec"].get("EncryptionConfig") or {}).get("AutoLockManagers"))
