import ipaddress

from worker.network.rules import bridge_rules

EXPECTED = """\
add table inet t
add chain inet t bridge-masquerade { type nat hook postrouting priority 100; }
flush chain inet t bridge-masquerade
add rule inet t bridge-masquerade ip saddr 172.17.0.0/16 oifname != "br0" masquerade
add rule inet t bridge-masquerade ip saddr 172.17.0.0/16 ip daddr 172.17.0.0/16 ct status dnat masquerade
add chain inet t bridge-forward { type filter hook forward priority 0; }
flush chain inet t bridge-forward
add rule inet t bridge-forward iifname "br0" accept
add rule inet t bridge-forward oifname "br0" ct state established,related accept
add rule inet t bridge-forward oifname "br0" ct status dnat accept
add rule inet t bridge-forward oifname "br0" drop"""


def test_the_bridges_rules() -> None:
    assert bridge_rules("inet t", "br0", ipaddress.IPv4Network("172.17.0.0/16")) == EXPECTED
