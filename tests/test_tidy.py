"""House rules that no linter knows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("manager", "worker", "common", "cli")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

ONLY_IMPORTER = {
    "pysyncobj": "manager/raft/member.py",
    "pyroute2": "worker/kernel/netlink.py",
    "msgpack": "common/codec.py",
}
"""A library without types is imported in the one module that gives it types."""
NEVER_IMPORTED = {"pickle", "marshal", "shelve"}
"""They run what they read."""
MARSHAL_AMONG_OURSELVES = {"worker/runtime/wire.py", "worker/runtime/handover.py"}
"""The supervisor and its root-owned socket: no import that costs it memory; it reads only what root writes."""
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "misc", "base", "core", "types", "common"}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_untyped_libraries_have_one_importer_and_none_runs_what_it_reads(path: Path) -> None:
    for library in set(imports(path)):
        assert library not in ONLY_IMPORTER or name(path) == ONLY_IMPORTER[library]
        assert library not in NEVER_IMPORTED or name(path) in MARSHAL_AMONG_OURSELVES


def test_modules_have_names_that_say_something() -> None:
    assert [name(path) for path in SOURCES if path.stem in NAMES_THAT_SAY_NOTHING] == []


def test_every_package_with_decisions_explains_itself() -> None:
    packages = ["manager", "manager/api", "manager/raft", "manager/store", "manager/orchestrator"]
    packages += [
        "manager/ca",
        "manager/scheduler",
        "manager/dispatcher",
        "worker",
        "worker/agent",
        "worker/runtime",
    ]
    packages += [
        "cli/lab",
        "cli/swarmd",
        "worker/images",
        "worker/containers",
        "worker/network",
        "worker/balancer",
    ]
    assert [name for name in packages if not (ROOT / name / "README.md").is_file()] == []


def test_nothing_names_a_place_of_some_machine() -> None:
    home = re.compile(r"/(home|Users)/\w|/root/\.|/tmp/(wt|venv)\b")
    texts = [
        *SOURCES,
        *ROOT.glob("*.md"),
        *ROOT.glob("*.sh"),
        *(ROOT / "docs").glob("*"),
        *ROOT.glob("*/**/README.md"),
    ]
    assert [name(path) for path in texts if home.search(path.read_text())] == []
