"""The nftables text for the default bridge: what may pass and whose address is rewritten. Values only."""

import ipaddress

POSTROUTING = "bridge-masquerade"
FORWARD = "bridge-forward"
RULES = {POSTROUTING: 2, FORWARD: 4}
"""How many each chain has."""


def bridge_rules(table: str, bridge: str, subnet: ipaddress.IPv4Network) -> str:
    """Commands that make the bridge's chains anew, whatever they were before."""
    return "\n".join(
        [
            f"add table {table}",
            f"add chain {table} {POSTROUTING} {{ type nat hook postrouting priority 100; }}",
            f"flush chain {table} {POSTROUTING}",
            # Out into the world, with the host's address.
            f'add rule {table} {POSTROUTING} ip saddr {subnet} oifname != "{bridge}" masquerade',
            # A container that comes to a published port and is sent back to the bridge: replies must pass the host.
            f"add rule {table} {POSTROUTING} ip saddr {subnet} ip daddr {subnet} ct status dnat masquerade",
            f"add chain {table} {FORWARD} {{ type filter hook forward priority 0; }}",
            f"flush chain {table} {FORWARD}",
            f'add rule {table} {FORWARD} iifname "{bridge}" accept',
            f'add rule {table} {FORWARD} oifname "{bridge}" ct state established,related accept',
            f'add rule {table} {FORWARD} oifname "{bridge}" ct status dnat accept',
            # Containers are reached through published ports only.
            f'add rule {table} {FORWARD} oifname "{bridge}" drop',
        ]
    )
