from typing import Any

import pytest

from cli.swarmctl.root_progress import BAR_WIDTH, Followed, judge, lines_of

NEW = {"TrustRoot": "new", "CertIssuerSubject": "s", "CertIssuerPublicKey": "new"}
OLD = {"TrustRoot": "old", "CertIssuerSubject": "s", "CertIssuerPublicKey": "old"}
BETWEEN = {"TrustRoot": "oldnew", "CertIssuerSubject": "s", "CertIssuerPublicKey": "new"}
WANTED = {"TrustRoot": "old", "CertIssuerSubject": "s", "CertIssuerPublicKey": "new"}

CASES: dict[str, tuple[dict[str, Any], bool, list[Any], tuple[int, int, bool]]] = {
    "it has begun": (WANTED, True, [OLD, OLD], (0, 0, False)),
    "one has followed": (WANTED, True, [BETWEEN, OLD], (1, 0, False)),
    "all have, and the former root is trusted still": (
        WANTED,
        True,
        [BETWEEN, BETWEEN],
        (2, 0, False),
    ),
    "the former root goes": (NEW, False, [NEW, BETWEEN], (2, 1, False)),
    "it is over": (NEW, False, [NEW, NEW], (2, 2, True)),
    "one has never said anything": (NEW, False, [NEW, None], (1, 1, False)),
}


@pytest.mark.parametrize("case", CASES)
def test_how_far_it_is(case: str) -> None:
    wanted, rotates, has, expected = CASES[case]
    swarm = {"TLSInfo": wanted, "RootRotationInProgress": rotates}
    nodes = [{"Description": {"TLSInfo": one} if one else {}} for one in has]
    followed = judge(swarm, nodes)
    assert (followed.certificates, followed.roots, followed.is_over) == expected


def test_is_shown_as_docker_shows_it() -> None:
    followed = Followed(digest="sha256:abc", certificates=1, roots=0, nodes=2, is_over=False)
    half = "=" * (BAR_WIDTH // 2 - 1) + ">" + " " * (BAR_WIDTH // 2)
    assert lines_of(followed) == [
        "desired root digest: sha256:abc",
        f"  rotated TLS certificates:  [{half}] 1/2 nodes",
        f"  rotated CA certificates:   [{' ' * BAR_WIDTH}] 0/2 nodes",
    ]
