from pathlib import Path

import pytest

from worker.network import sysctls

CONF = "net/ipv4/conf"
FORMER = {
    "net/ipv4/ip_forward": "0",
    f"{CONF}/all/accept_redirects": "1",
    f"{CONF}/all/forwarding": "0",
    f"{CONF}/default/forwarding": "0",
    f"{CONF}/eth0/forwarding": "1",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, value in FORMER.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return tmp_path / "sys"


def values(root: Path) -> dict[str, str]:
    return {name: (root / name).read_text().strip() for name in FORMER}


def test_what_was_is_recorded_and_put_back(root: Path, tmp_path: Path) -> None:
    record = tmp_path / "network/sysctls.json"
    sysctls.enable_forwarding(record, root)
    assert values(root) == FORMER | {"net/ipv4/ip_forward": "1"}
    # The kernel changes the others by itself.
    (root / CONF / "all/accept_redirects").write_text("0\n")
    sysctls.restore(record, root)
    assert values(root) == FORMER
    assert not record.exists()


def test_a_second_start_keeps_the_first_record(root: Path, tmp_path: Path) -> None:
    record = tmp_path / "sysctls.json"
    sysctls.enable_forwarding(record, root)
    (root / CONF / "eth0/forwarding").write_text("0\n")
    (root / "net/ipv4/ip_forward").write_text("0\n")  # someone else's doing
    sysctls.enable_forwarding(record, root)
    sysctls.restore(record, root)
    assert values(root) == FORMER


def test_where_the_host_forwards_already_nothing_is_touched(root: Path, tmp_path: Path) -> None:
    (root / "net/ipv4/ip_forward").write_text("1\n")
    record = tmp_path / "sysctls.json"
    sysctls.enable_forwarding(record, root)
    assert not record.exists()
    sysctls.restore(record, root)
    assert values(root) == FORMER | {"net/ipv4/ip_forward": "1"}


def test_an_interface_that_is_gone_is_passed_over(root: Path, tmp_path: Path) -> None:
    record = tmp_path / "sysctls.json"
    sysctls.enable_forwarding(record, root)
    (root / CONF / "eth0/forwarding").unlink()
    sysctls.restore(record, root)
    assert (root / "net/ipv4/ip_forward").read_text().strip() == "0"
