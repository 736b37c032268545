"""``install.sh``: what it puts where, below a directory that stands for a host; systemd itself reads the unit."""

import subprocess
from pathlib import Path

import pytest

from integration.host import REPOSITORY
from integration.links import run

SCRIPT = REPOSITORY / "install.sh"
UNIT = "etc/systemd/system/swarmd.service"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host with swarmd installed over releases that were there before, and with settings of its own."""
    root = tmp_path_factory.mktemp("host")
    releases = root / "opt/swarmd/releases"
    for name in ("0.0.1-20200101000000", "0.0.2-20210101000000", "0.0.3-20220101000000"):
        (releases / name / "share").mkdir(parents=True)
    (root / "opt/swarmd/current").symlink_to("releases/0.0.3-20220101000000")
    (root / "etc/swarmd").mkdir(parents=True)
    (root / "etc/swarmd/swarmd.yaml").write_text("log-level: debug\n")
    run(SCRIPT, "--root", root)
    return root


def test_the_new_release_is_current_and_the_one_before_is_kept(root: Path) -> None:
    current, previous = (
        (root / "opt/swarmd" / name).readlink() for name in ("current", "previous")
    )
    assert previous == Path("releases/0.0.3-20220101000000")
    kept = {Path("releases", path.name) for path in (root / "opt/swarmd/releases").iterdir()}
    assert kept == {current, previous}


def test_its_programs_run_from_where_they_will_be(root: Path) -> None:
    for name in ("swarmd", "swarmctl"):
        link = root / "usr/local/bin" / name
        assert link.readlink() == Path(f"/opt/swarmd/current/bin/{name}")
        first = (root / "opt/swarmd/current/bin" / name).read_text().splitlines()[0]
        assert first.startswith("#!/opt/swarmd/releases/")
    python = root / "opt/swarmd/current/bin/python"
    for module in ("cli.swarmd.main", "cli.swarmctl.main"):
        assert "usage" in run(python, "-m", module, "--help", cwd="/").stdout.lower()


def test_settings_that_are_there_are_kept(root: Path) -> None:
    assert (root / "etc/swarmd/swarmd.yaml").read_text() == "log-level: debug\n"


def test_systemd_takes_the_unit(root: Path, tmp_path: Path) -> None:
    text = (root / UNIT).read_text()
    assert "ExecStart=/opt/swarmd/current/bin/swarmd\n" in text
    unit = tmp_path / "swarmd.service"  # systemd looks whether the program is there
    unit.write_text(text.replace("/opt/swarmd/current/bin/swarmd\n", "/bin/true\n"))
    done = run("systemd-analyze", "verify", unit)
    assert not done.stdout + done.stderr


def test_containers_outlive_swarmd_and_inherit_nothing_that_would_hinder_them(root: Path) -> None:
    """Whatever makes a mount namespace or a seccomp filter is inherited by every container."""
    settings = dict(
        line.split("=", 1)
        for line in (root / UNIT).read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    assert settings["KillMode"] == "process"
    assert settings["Delegate"] == "yes"
    assert settings["RuntimeDirectoryPreserve"] == "yes"
    inherited = (
        "Protect",
        "Private",
        "Restrict",
        "SystemCall",
        "ReadOnly",
        "Inaccessible",
        "NoNew",
        "Lock",
    )
    assert not [name for name in settings if name.startswith(inherited)]


def test_rollback_and_uninstall(root: Path) -> None:
    """Last in this file: it takes away what the other tests look at."""
    refused = _install("rollback", "--root", str(root))
    assert refused.returncode == 1  # the release before is an empty directory: nothing to put back
    assert "no release to go back to" in refused.stderr
    assert (root / "opt/swarmd/current").readlink() != Path("releases/0.0.3-20220101000000")
    done = _install("uninstall", "--root", str(root))
    assert done.returncode == 0, done.stderr
    left = sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())
    assert left == ["etc/swarmd/swarmd.yaml"]
    assert "not installed" in _install("uninstall", "--root", str(root)).stderr
    assert _install("uninstall", "--purge", "--root", str(root)).returncode == 1


@pytest.mark.parametrize("words", [("sideways",), ("install", "--what"), ("--root", "relative")])
def test_wrong_words_are_refused(words: tuple[str, ...]) -> None:
    assert _install(*words).returncode in (1, 2)


def _install(*words: str) -> subprocess.CompletedProcess[str]:
    return run(SCRIPT, *words, check=False)
