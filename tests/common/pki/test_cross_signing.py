"""Who believes whom while roots change, asked of TLS itself."""

import ssl
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest

from common.model.node import Role
from common.pki.authority import Root, cross_sign, new_root
from common.pki.certificate import bundle
from common.pki.contexts import client_context, server_context
from common.pki.identity import MANAGER_NAME, identity_in
from tests.support.pki import NOW, credentials, identity, root_of


@lru_cache(maxsize=8)
def following(new: str, old: str) -> Root:
    """A root that the old one vouches for."""
    root = root_of(new)
    return replace(root, chain=cross_sign(root_of(old), root.certificate, NOW))


def shakes_hands(
    server: Root, server_trusts: bytes, client: Root, client_trusts: bytes, at: Path
) -> bool:
    """Whether a manager and a worker with certificates of these roots, and these roots trusted, come to speak."""
    ends = {}
    for name, root, role in (("s", server, Role.MANAGER), ("c", client, Role.WORKER)):
        own = credentials(identity(name, role), root, now=NOW)
        (at / f"{name}.crt").write_bytes(own.certificate)
        (at / f"{name}.key").write_bytes(own.key)
        make = server_context if name == "s" else client_context
        trust = server_trusts if name == "s" else client_trusts
        ends[name] = make(trust, at / f"{name}.crt", at / f"{name}.key")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = ends["s"].wrap_bio(to_server, to_client, server_side=True)
    there = ends["c"].wrap_bio(to_client, to_server, server_hostname=MANAGER_NAME)
    for _ in range(4):
        for end in (there, here):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    assert identity_in(here.getpeercert() or {}) == identity("c", Role.WORKER)
    return True


OLD, NEW, OTHER = root_of("old"), root_of("new"), root_of("other")
BOTH = bundle(OLD.certificate, NEW.certificate)
CASES: dict[str, tuple[Root, bytes, bytes, bool]] = {
    "before": (OLD, OLD.certificate, OLD.certificate, True),
    "a new certificate, where only the old root is known yet": (
        following("new", "old"),
        OLD.certificate,
        OLD.certificate,
        True,
    ),
    "a new certificate, where both are known": (following("new", "old"), BOTH, BOTH, True),
    "a new certificate, with its chain, where the old root is gone": (
        following("new", "old"),
        NEW.certificate,
        NEW.certificate,
        True,
    ),
    "an old certificate, where both are known": (OLD, BOTH, BOTH, True),
    "an old certificate, where the old root is gone": (
        OLD,
        NEW.certificate,
        NEW.certificate,
        False,
    ),
    "a certificate of a target that was replaced, where it was never known": (
        following("other", "old"),
        BOTH,
        BOTH,
        True,
    ),
    "a certificate of a target that was replaced, where the old root is gone": (
        following("other", "old"),
        NEW.certificate,
        NEW.certificate,
        False,
    ),
    "a root that nobody vouches for": (NEW, OLD.certificate, OLD.certificate, False),
    "a second rotation": (following("other", "new"), NEW.certificate, NEW.certificate, True),
    "a second rotation, where only the first root is known": (
        following("other", "new"),
        OLD.certificate,
        OLD.certificate,
        False,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_worker_with_the_certificate(case: str, tmp_path: Path) -> None:
    shown, trusted, others_trust, expected = CASES[case]
    server = following("new", "old")
    trusts_server = bundle(others_trust, OLD.certificate, NEW.certificate)
    assert shakes_hands(server, trusted, shown, trusts_server, tmp_path) is expected


@pytest.mark.parametrize("case", CASES)
def test_a_manager_with_the_certificate(case: str, tmp_path: Path) -> None:
    shown, trusted, others_trust, expected = CASES[case]
    trusts_client = bundle(trusted, OLD.certificate)
    assert shakes_hands(shown, trusts_client, OLD, others_trust, tmp_path) is expected


def test_what_is_vouched_for_ends_with_the_one_that_vouches() -> None:
    from cryptography import x509  # noqa: PLC0415 - only here

    young = new_root(NOW)
    between = x509.load_pem_x509_certificate(cross_sign(root_of("old"), young.certificate, NOW))
    old = x509.load_pem_x509_certificate(root_of("old").certificate)
    assert between.not_valid_after_utc == old.not_valid_after_utc
    assert between.public_key() == x509.load_pem_x509_certificate(young.certificate).public_key()


def test_a_bundle_has_each_root_once() -> None:
    assert bundle(b"a\n", b"b", b"a") == b"a\nb\n"
    assert bundle(b"", b"") == b""
