from pathlib import Path

import pytest

from cli.swarmd.options import AddressPool, Options, parse_arguments
from common.errors import InvalidInputError


def options(tmp_path: Path, yaml: str = "", *flags: str) -> Options:
    path = tmp_path / "swarmd.yaml"
    path.write_text(yaml)
    return parse_arguments(["--config-file", str(path), *flags])[0]


def test_defaults_are_dockerds(tmp_path: Path) -> None:
    got = options(tmp_path)
    assert got == Options()
    assert got.listeners == ("unix:///run/swarmd/swarmd.sock",)


def test_a_flag_wins_over_the_file(tmp_path: Path) -> None:
    got = options(tmp_path, "data-root: /a\nlog-level: debug", "--data-root", "/b")
    assert (got.data_root, got.log_level) == (Path("/b"), "debug")


def test_the_socket_lies_below_exec_root(tmp_path: Path) -> None:
    assert options(tmp_path, "exec-root: /x").listeners == ("unix:///x/swarmd.sock",)


def test_lists_and_single_values_both_do(tmp_path: Path) -> None:
    got = options(
        tmp_path,
        "host: unix:///a\nlabel: [a=b, c=d]\ndefault-address-pool: 'base=10.1.0.0/16,size=24'",
    )
    assert got.host == ("unix:///a",)
    assert got.labels == {"a": "b", "c": "d"}
    assert got.default_address_pool == (AddressPool(base="10.1.0.0/16", size=24),)


REFUSED = {
    "an unknown key names the nearest": ("data-rot: /x", "did you mean 'data-root'?"),
    "not a map": ("- a", "must be a map"),
    "not YAML": ("a: [", "is not YAML"),
    "a relative directory": ("data-root: x", "absolute"),
    "an unknown level": ("log-level: loud", "one of debug"),
    "tcp without TLS": ("host: tcp://0.0.0.0:2376", "--tlsverify"),
    "TLS without files": ("tlsverify: true", "--tlscacert"),
    "a listener of no kind": ("host: http://x", "unix:///path"),
    "a pool without size": ("default-address-pool: base=10.0.0.0/8", "base=172.30"),
    "a pool larger than its base": (
        "default-address-pool: 'base=10.0.0.0/16,size=8'",
        "within base",
    ),
    "the root cgroup": ("cgroup-parent: /", "absolute path"),
    "a bridge name the kernel cannot have": ("bridge: a-very-long-bridge-name", "15 characters"),
    "a label without key": ("label: =x", "key=value"),
}


@pytest.mark.parametrize(("yaml", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses(tmp_path: Path, yaml: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        options(tmp_path, yaml)
    assert message in str(error.value)


def test_a_named_file_must_exist() -> None:
    with pytest.raises(InvalidInputError, match="does not exist"):
        parse_arguments(["--config-file", "/nonexistent/swarmd.yaml"])
