from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.swarmctl.main import main
from tests.support.unix_api import UnixApi, unix_api

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[UnixApi]:
    """An Engine API with chosen answers."""
    with unix_api(tmp_path) as made:
        yield made


@pytest.fixture
def run(api: UnixApi, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs swarmctl on it; gives the exit code, stdout and stderr."""

    def run_swarmctl(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["-H", api.host, *words])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run_swarmctl
