import pytest

from manager.raft import segments
from tests.simulation.raft.run import SEGMENT_BYTES


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES_MAX", SEGMENT_BYTES)
    monkeypatch.setattr(segments, "ALLOCATE_BYTES", SEGMENT_BYTES)
