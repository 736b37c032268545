"""Integration tests act on the kernel: they need root, and say so instead of failing one by one."""

import os

import pytest


def pytest_collection_modifyitems() -> None:
    if os.geteuid() != 0:
        pytest.exit(
            "integration tests need root: they make namespaces, mounts and cgroups", returncode=2
        )
