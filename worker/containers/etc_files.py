"""The files of /etc that every container gets of its own: hosts, hostname and resolv.conf, as text."""

from collections.abc import Sequence

from common.model.container_spec import ContainerSpec, DnsConfig
from worker.network.attachment import Sandbox

_LOCAL = (
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::\tip6-localnet",
    "ff00::\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
)


def hosts_text(spec: ContainerSpec, *, hostname: str, address: str) -> str:
    """/etc/hosts: the loopback names, the spec's lines, and the container under its own address."""
    extra = ["\t".join(line.split(maxsplit=1)) for line in spec.hosts]
    own = [f"{address}\t{_with_short_name(hostname)}"] if address else []
    return "\n".join([*_LOCAL, *extra, *own]) + "\n"


def _with_short_name(hostname: str) -> str:
    short, dot, _ = hostname.partition(".")
    return f"{hostname} {short}" if dot else hostname


def resolv_conf_text(wanted: DnsConfig | None, sandbox: Sandbox | None, host_text: str) -> str:
    """/etc/resolv.conf: what the spec says, else what the network says, else the host's own."""
    dns = wanted or DnsConfig()
    nameservers: Sequence[str] = dns.nameservers or (sandbox.nameservers if sandbox else ())
    if not nameservers:
        return host_text
    search: Sequence[str] = dns.search or (sandbox.search if sandbox else ())
    lines = [f"nameserver {address}" for address in nameservers]
    if search and tuple(search) != (".",):
        lines.append(f"search {' '.join(search)}")
    if dns.options:
        lines.append(f"options {' '.join(dns.options)}")
    return "\n".join(lines) + "\n"
