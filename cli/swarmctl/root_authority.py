"""swarmctl swarm ca: show the swarm's root certificate, or have another one take its place."""

from pathlib import Path
from typing import Any

import click

from cli.swarmctl import arguments
from cli.swarmctl.client import Client, current_client
from cli.swarmctl.command_line import not_yet
from cli.swarmctl.root_progress import wait_for_rotation

PEM_BYTES_MAX = 32 * 1024
"""Of a certificate or key that is read from a file."""
_OF_ROTATION = {"ca_cert": "--ca-cert", "ca_key": "--ca-key", "cert_expiry": "--cert-expiry"}


@click.command("ca")
@click.option("--rotate", is_flag=True, help="have a new root, or the given one, take its place")
@click.option("--ca-cert", metavar="FILE", type=click.Path(), help="the root to change to, in PEM")
@click.option("--ca-key", metavar="FILE", type=click.Path(), help="its private key, in PEM")
@click.option("--cert-expiry", metavar="DURATION", help="how long a node's certificate is valid")
@click.option("-d", "--detach", is_flag=True, help="do not wait until every node has followed")
@click.option("-q", "--quiet", is_flag=True, help="show no progress")
def command(*, rotate: bool, detach: bool, quiet: bool, **given: str | None) -> None:
    """Show the root certificate, or change it."""
    client = current_client()
    swarm = client.get("/swarm")
    if not rotate:
        for name, flag in _OF_ROTATION.items():
            if given[name] is not None:
                raise click.UsageError(
                    f"`{flag}` flag requires the `--rotate` flag to update the CA"
                )
        _show_root(swarm)
        return
    spec = _changed(swarm["Spec"], given)
    client.post("/swarm/update", spec, version=str(swarm["Version"]["Index"]))
    if not detach:
        _wait(client, quiet=quiet)


command.params.append(not_yet("--external-ca", "external certificate authorities"))


def _changed(spec: dict[str, Any], given: dict[str, str | None]) -> dict[str, Any]:
    certificate, key = _read(given["ca_cert"]), _read(given["ca_key"])
    if certificate and not key:
        raise click.UsageError(
            "the --ca-cert flag requires that a --ca-key flag be provided as well"
        )
    config = {**spec.get("CAConfig", {}), "SigningCACert": certificate, "SigningCAKey": key}
    if not certificate and not key:
        config["ForceRotate"] = config.get("ForceRotate", 0) + 1
    if given["cert_expiry"] is not None:
        config["NodeCertExpiry"] = _duration(given["cert_expiry"])
    return {**spec, "CAConfig": config}


def _duration(text: str) -> int:
    try:
        return arguments.duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--cert-expiry") from None


def _read(path: str | None) -> str:
    if path is None:
        return ""
    try:
        with Path(path).open("rb") as file:
            data = file.read(PEM_BYTES_MAX + 1)
        text = data.decode("ascii")
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise click.ClickException(f"{path} is not in PEM") from None
    if len(data) > PEM_BYTES_MAX:
        raise click.ClickException(f"{path} has more than {PEM_BYTES_MAX} bytes")
    if not text.strip():
        raise click.ClickException(f"{path} is empty")
    return text


def _wait(client: Client, *, quiet: bool) -> None:
    wait_for_rotation(client, quiet=quiet)
    if not quiet:
        _show_root(client.get("/swarm"))


def _show_root(swarm: dict[str, Any]) -> None:
    root = (swarm.get("TLSInfo") or {}).get("TrustRoot", "").strip()
    if not root:
        raise click.ClickException("no CA information available")
    click.echo(root)
