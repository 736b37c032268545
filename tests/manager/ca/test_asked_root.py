import pytest

from common.errors import InvalidInputError, NotImplementedHereError, UnavailableError
from common.model.cluster import CaConfig, ExternalCa, RootCa, RootRotation
from common.pki.certificate import facts_of, public_key_in
from manager.ca.asked_root import asked_root, changes_root, check_asked, kept
from manager.ca.roots import issuing_root, trust_of
from tests.support.pki import NOW, credentials, identity, root_of

OLD, NEW = root_of("old"), root_of("new")
AT_REST = RootCa(certificate=OLD.certificate, key=OLD.key, worker_token="w", manager_token="m")
GIVEN = CaConfig(signing_ca_cert=NEW.certificate.decode(), signing_ca_key=NEW.key.decode())
PRESENT = CaConfig(signing_ca_cert=OLD.certificate.decode(), signing_ca_key=OLD.key.decode())

ASKS = {
    "nothing": (CaConfig(), False),
    "the same number": (CaConfig(force_rotate=3), False),
    "another number": (CaConfig(force_rotate=4), True),
    "another life of certificates": (CaConfig(force_rotate=3, node_cert_expiry_seconds=1), False),
    "a root that is given": (GIVEN, True),
}


@pytest.mark.parametrize("case", ASKS)
def test_asks_for_another_root(case: str) -> None:
    asked, expected = ASKS[case]
    before = CaConfig(force_rotate=0 if asked.force_rotate == 0 else 3)
    assert changes_root(before, asked) is expected


def test_a_rotation_begins_with_a_new_root_that_the_present_one_vouches_for() -> None:
    changed = asked_root(AT_REST, CaConfig(force_rotate=1), NOW)
    assert changed.certificate == OLD.certificate
    assert (changed.worker_token, changed.manager_token) == ("w", "m")
    assert changed.rotation is not None
    issued = credentials(identity("n"), issuing_root(changed), now=NOW).certificate
    facts = facts_of(issued, OLD.certificate)
    assert facts.issuer_public_key == public_key_in(changed.rotation.certificate)
    assert trust_of(changed) == OLD.certificate + changed.rotation.certificate


def test_a_given_root_is_where_it_goes() -> None:
    changed = asked_root(AT_REST, GIVEN, NOW)
    assert changed.rotation is not None
    assert (changed.rotation.certificate, changed.rotation.key) == (NEW.certificate, NEW.key)


def test_asking_for_it_again_changes_nothing() -> None:
    once = asked_root(AT_REST, GIVEN, NOW)
    assert asked_root(once, GIVEN, NOW) == once


def test_a_second_one_replaces_the_first_and_the_present_root_vouches_for_it() -> None:
    once = asked_root(AT_REST, CaConfig(force_rotate=1), NOW)
    twice = asked_root(once, GIVEN, NOW)
    assert twice.certificate == OLD.certificate
    assert twice.rotation is not None
    assert twice.rotation.certificate == NEW.certificate


def test_the_present_root_given_again_calls_it_off() -> None:
    assert asked_root(asked_root(AT_REST, GIVEN, NOW), PRESENT, NOW) == AT_REST


def test_without_the_present_key_nothing_can_be_vouched_for() -> None:
    with pytest.raises(UnavailableError):
        asked_root(RootCa(certificate=OLD.certificate), GIVEN, NOW)


REFUSED: dict[str, tuple[CaConfig, type[Exception], str]] = {
    "a key without its certificate": (
        CaConfig(signing_ca_key="k"),
        InvalidInputError,
        "the signing CA cert must also be provided",
    ),
    "a certificate without its key": (
        CaConfig(signing_ca_cert="c"),
        NotImplementedHereError,
        "external certificate authorities",
    ),
    "an authority outside": (
        CaConfig(external_cas=(ExternalCa(url="https://ca.example"),)),
        NotImplementedHereError,
        "https://ca.example",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case: str) -> None:
    asked, kind, why = REFUSED[case]
    with pytest.raises(kind, match=why):
        check_asked(asked)


def test_neither_certificate_nor_key_is_kept_in_the_spec() -> None:
    assert kept(GIVEN) == CaConfig()


def test_no_key_shows_in_a_representation() -> None:
    rotation = RootRotation(certificate=b"c", key=b"PRIVATE")
    assert "PRIVATE" not in repr(RootCa(rotation=rotation)) + repr(GIVEN)
