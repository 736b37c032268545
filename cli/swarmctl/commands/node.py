"""swarmctl node: look at the nodes of the swarm and change them."""

from collections.abc import Iterable, Iterator
from typing import Any

import click

from cli.swarmctl import shown
from cli.swarmctl.client import current_client
from cli.swarmctl.command_line import Group
from cli.swarmctl.filters import filter_option, format_option, query, quiet_option
from cli.swarmctl.table import each, end_with, inspect_each, show_list
from cli.swarmctl.tasks import show_tasks, task_options

_COLUMNS = {
    "_ID": "ID",
    "Hostname": "HOSTNAME",
    "Status": "STATUS",
    "Availability": "AVAILABILITY",
    "ManagerStatus": "MANAGER STATUS",
    "EngineVersion": "ENGINE VERSION",
}


@click.group(cls=Group)
def command() -> None:
    """Look at the nodes of the swarm and change them."""


@command.command("ls")
@filter_option()
@format_option()
@quiet_option()
def list_nodes(filters: tuple[str, ...], format_: str | None, *, quiet: bool) -> None:
    """List the nodes."""
    nodes = current_client().get("/nodes", **query(filters))
    nodes.sort(key=lambda node: shown.natural(str(node["Description"].get("Hostname", ""))))
    swarm = {} if quiet else current_client().get("/info").get("Swarm") or {}
    show_list([_row(node, swarm) for node in nodes], _COLUMNS, format_=format_, quiet=quiet)


def _row(node: dict[str, Any], swarm: dict[str, Any]) -> dict[str, str | bool | None]:
    manager, description = node.get("ManagerStatus") or {}, node["Description"]
    standing = "Leader" if manager.get("Leader") else str(manager.get("Reachability", "")).title()
    is_self = node["ID"] == swarm.get("NodeID")
    return {
        "ID": node["ID"],
        "_ID": f"{node['ID']} *" if is_self else node["ID"],
        "Self": is_self,
        "Hostname": description.get("Hostname", ""),
        "Status": node["Status"]["State"].title(),
        "Availability": node["Spec"]["Availability"].title(),
        "ManagerStatus": standing,
        "EngineVersion": description.get("Engine", {}).get("EngineVersion", ""),
        "TLSStatus": _tls_status(description.get("TLSInfo"), swarm),
    }


def _tls_status(node: dict[str, Any] | None, swarm: dict[str, Any]) -> str:
    cluster = (swarm.get("Cluster") or {}).get("TLSInfo")
    if not node or not cluster:
        return "Unknown"
    return "Ready" if node == cluster else "Needs Rotation"


@command.command()
@click.argument("nodes", nargs=-1, required=True, metavar="self|NODE...")
@click.option("-f", "--format", "format_", metavar="FORMAT", help="json or a Go template")
@click.option("--pretty", is_flag=True, help="readable text")
def inspect(nodes: tuple[str, ...], format_: str | None, *, pretty: bool) -> None:
    """Show everything about nodes."""
    inspect_each(
        nodes,
        lambda name: current_client().get(f"/nodes/{_resolve(name)}"),
        format_=format_,
        pretty=_pretty if pretty else None,
    )


@command.command()
@click.argument("nodes", nargs=-1, metavar="[self|NODE]...")
@task_options
def ps(nodes: tuple[str, ...], filters: tuple[str, ...], format_: str | None, **more: bool) -> None:
    """List the tasks on nodes; on this one when none is named."""
    found, failed = each(
        nodes or ("self",), lambda name: current_client().get(f"/nodes/{_resolve(name)}")["ID"]
    )
    if found:
        show_tasks(query(filters, node=found), format_=format_, **more)
    end_with(failed)


@command.command()
@click.argument("nodes", nargs=-1, required=True, metavar="NODE...")
def demote(nodes: tuple[str, ...]) -> None:
    """Make managers workers."""
    _set_role(nodes, "worker", "Manager {} demoted in the swarm.", "Node {} is already a worker.")


@command.command()
@click.argument("nodes", nargs=-1, required=True, metavar="NODE...")
def promote(nodes: tuple[str, ...]) -> None:
    """Make workers managers."""
    done = "Node {} promoted to a manager in the swarm."
    _set_role(nodes, "manager", done, "Node {} is already a manager.")


def _set_role(names: Iterable[str], role: str, done: str, already: str) -> None:
    def set_role(name: str) -> None:
        if not _change(name, {"Role": role}):
            click.echo(already.format(name))
        else:
            click.echo(done.format(name))

    _, failed = each(names, set_role)
    end_with(failed)


def _change(name: str, fields: dict[str, Any]) -> bool:
    """Writes fields of a node's spec; whether that changes it."""
    node = current_client().get(f"/nodes/{_resolve(name)}")
    spec = {**node["Spec"], **fields}
    if spec == node["Spec"]:
        return False
    version = str(node["Version"]["Index"])
    current_client().post(f"/nodes/{node['ID']}/update", spec, version=version)
    return True


@command.command()
@click.argument("node", metavar="NODE")
@click.option(
    "--availability", type=click.Choice(["active", "pause", "drain"]), help="which tasks it takes"
)
@click.option("--role", type=click.Choice(["worker", "manager"]), help="whether it decides")
@click.option("--label-add", multiple=True, metavar="KEY[=VALUE]", help="add or change a label")
@click.option("--label-rm", multiple=True, metavar="KEY", help="take a label away")
def update(
    node: str, availability: str | None, role: str | None, **labels: tuple[str, ...]
) -> None:
    """Change a node."""
    given = {"Availability": availability, "Role": role}
    fields: dict[str, Any] = {key: value for key, value in given.items() if value}
    if labels["label_add"] or labels["label_rm"]:
        shown_labels = current_client().get(f"/nodes/{_resolve(node)}")["Spec"].get("Labels") or {}
        fields["Labels"] = _labels(shown_labels, **labels)
    _change(node, fields)
    click.echo(node)


def _labels(
    present: dict[str, str], label_add: Iterable[str], label_rm: Iterable[str]
) -> dict[str, str]:
    added = dict(item.partition("=")[::2] for item in label_add)
    missing = [key for key in label_rm if key not in present]
    if missing:
        raise click.ClickException(f"key {missing[0]} doesn't exist in node's labels")
    return {key: value for key, value in present.items() if key not in set(label_rm)} | added


@command.command()
@click.argument("nodes", nargs=-1, required=True, metavar="NODE...")
@click.option("-f", "--force", is_flag=True, help="remove it though it is there")
def rm(nodes: tuple[str, ...], *, force: bool) -> None:
    """Remove nodes from the swarm."""

    def remove(name: str) -> None:
        current_client().delete(f"/nodes/{name}", **({"force": "1"} if force else {}))
        click.echo(name)

    _, failed = each(nodes, remove)
    end_with(failed)


def _resolve(name: str) -> str:
    if name != "self":
        return name
    node_id: str = current_client().get("/info").get("Swarm", {}).get("NodeID", "")
    if not node_id:
        raise click.ClickException("this node is not part of a swarm")
    return node_id


def _pretty(node: dict[str, Any]) -> str:
    return "\n".join(_lines(node))


def _lines(node: dict[str, Any]) -> Iterator[str]:
    description, spec = node["Description"], node["Spec"]
    platform = description.get("Platform", {})
    yield f"ID:\t\t\t{node['ID']}"
    yield from [f"Name:\t\t\t{spec.get('Name')}"] * bool(spec.get("Name"))
    yield from _labels_shown("Labels:", spec.get("Labels"))
    yield f"Hostname:\t\t{description.get('Hostname', '')}"
    yield f"Joined at:\t\t{node['CreatedAt']}"
    yield "Status:"
    yield f" State:\t\t\t{node['Status']['State'].title()}"
    if node["Status"].get("Message"):
        yield f" Message:\t\t{node['Status']['Message']}"
    yield f" Availability:\t\t{spec['Availability'].title()}"
    yield f" Address:\t\t{node['Status'].get('Addr', '')}"
    yield from _standing(node.get("ManagerStatus") or {})
    yield "Platform:"
    yield f" Operating System:\t{platform.get('OS', '')}"
    yield f" Architecture:\t\t{platform.get('Architecture', '')}"
    yield from _resources(description.get("Resources", {}))
    yield from _engine(description.get("Engine", {}))
    yield from _trust(description.get("TLSInfo") or {})


def _standing(manager: dict[str, Any]) -> Iterator[str]:
    if manager:
        yield "Manager Status:"
        yield f" Address:\t\t{manager.get('Addr', '')}"
        yield f" Raft Status:\t\t{str(manager.get('Reachability', '')).title()}"
        yield f" Leader:\t\t{'Yes' if manager.get('Leader') else 'No'}"


def _resources(resources: dict[str, Any]) -> Iterator[str]:
    yield "Resources:"
    yield f" CPUs:\t\t\t{resources.get('NanoCPUs', 0) / 1e9:g}"
    yield f" Memory:\t\t{resources.get('MemoryBytes', 0) / 2**30:.4g}GiB"
    generic = shown.generic_resources(resources.get("GenericResources") or [])
    yield from [f" Generic Resources:\t{generic}"] * bool(generic)


def _engine(engine: dict[str, Any]) -> Iterator[str]:
    plugins: dict[str, list[str]] = {}
    for plugin in engine.get("Plugins") or []:
        plugins.setdefault(plugin.get("Type", ""), []).append(plugin.get("Name", ""))
    yield from ["Plugins:"] * bool(plugins)
    yield from [f" {kind}:\t\t{', '.join(sorted(plugins[kind]))}" for kind in sorted(plugins)]
    yield f"Engine Version:\t\t{engine.get('EngineVersion', '')}"
    yield from _labels_shown("Engine Labels:", engine.get("Labels"))


def _trust(tls: dict[str, Any]) -> Iterator[str]:
    if tls:
        yield "TLS Info:"
        yield " TrustRoot:"
        yield str(tls.get("TrustRoot", "")).rstrip()
        yield f" Issuer Subject:\t{tls.get('CertIssuerSubject', '')}"
        yield f" Issuer Public Key:\t{tls.get('CertIssuerPublicKey', '')}"


def _labels_shown(head: str, labels: dict[str, str] | None) -> Iterator[str]:
    yield from [head] * bool(labels)
    yield from (f" - {key}={value}" for key, value in sorted((labels or {}).items()))
