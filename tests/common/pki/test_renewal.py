from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.node import Role
from common.pki.renewal import EARLIEST, LATEST, CertificateFacts, must_renew, renew_at


@dataclass(frozen=True)
class Said:
    role: Role = Role.WORKER
    issuer: bytes = b"ours"


def facts(not_before: float = 0.0, not_after: float = 100.0) -> CertificateFacts:
    return CertificateFacts(
        node_id="n",
        role=Role.WORKER,
        cluster_id="c",
        not_before=not_before,
        not_after=not_after,
        issuer_subject=b"s",
        issuer_public_key=b"ours",
    )


CASES: dict[str, tuple[Said | None, float, bool]] = {
    "as told, in its youth": (Said(), 10.0, False),
    "nothing was told yet": (None, 10.0, False),
    "another role": (Said(role=Role.MANAGER), 10.0, True),
    "another issuer": (Said(issuer=b"next"), 10.0, True),
    "an issuer that does not matter yet": (Said(issuer=b""), 10.0, False),
    "late": (Said(), 80.0, True),
    "late, and nothing was told": (None, 80.0, True),
    "out of date": (Said(), 101.0, True),
}


@pytest.mark.parametrize("case", CASES)
def test_renewed_at_once(case: str) -> None:
    told, now, expected = CASES[case]
    assert must_renew(facts(), told, now) is expected


@given(st.floats(0, 2e9), st.floats(3600, 1e9), st.floats(0, 1))
def test_renewal_falls_between_half_and_four_fifths_of_the_life(
    start: float, life: float, chance: float
) -> None:
    at = renew_at(facts(start, start + life), chance)
    assert start + life * EARLIEST - 1 <= at <= start + life * LATEST + 1
