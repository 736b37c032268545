"""What to tell whoever wants to add nodes to a swarm."""

from typing import Any

import click

from cli.swarmctl.client import Client

ROLES = {"worker": "Worker", "manager": "Manager"}


def join_token(client: Client, role: str) -> str:
    """The token that lets nodes join in that role."""
    token: str = client.get("/swarm")["JoinTokens"][ROLES[role]]
    return token


def join_command(client: Client, role: str) -> str:
    """The sentence and the command that add a node, as docker tells them."""
    return (
        f"To add a {role} to this swarm, run the following command:\n\n"
        f"    swarmctl swarm join --token {join_token(client, role)} {_own_address(client)}\n"
    )


def _own_address(client: Client) -> str:
    swarm: dict[str, Any] = client.get("/info").get("Swarm") or {}
    node = client.get(f"/nodes/{swarm.get('NodeID', '')}")
    address: str = (node.get("ManagerStatus") or {}).get("Addr", "")
    return address


def tell_new_swarm(client: Client, how: str, node_id: str) -> None:
    """Says that a swarm was made, and how others join it."""
    click.echo(f"Swarm {how}: current node ({node_id}) is now a manager.\n")
    click.echo(join_command(client, "worker"))
    click.echo(
        "To add a manager to this swarm, run 'swarmctl swarm join-token manager' and follow the instructions.\n"
    )
