import socket

import manager.raft.replicated_log  # noqa: F401 - importing it is the point


def test_pysyncobj_does_not_take_the_systems_inet_ntop_away() -> None:
    assert socket.inet_ntop(socket.AF_INET, bytes([127, 0, 0, 1])) == "127.0.0.1"
