"""Shared libraries of the host that swarmd works with."""

import ctypes

from common.errors import SystemFailureError


def load_library(name: str, package: str) -> ctypes.CDLL:
    """Loads a library.

    Raises:
        SystemFailureError: the host does not have it; the hint names its package.
    """
    try:
        return ctypes.CDLL(name)
    except OSError:
        raise SystemFailureError(
            f"{name} is missing on this host", hint=f"install the package {package}"
        ) from None
