"""What a request to change the swarm makes of its certificate authority. Signing belongs into a thread."""

from dataclasses import replace

from common.errors import InvalidInputError, NotImplementedHereError, UnavailableError
from common.model.cluster import CaConfig, RootCa, RootRotation

NO_CERTIFICATE = "if a signing CA key is provided, the signing CA cert must also be provided"
EXTERNAL = "external certificate authorities: not implemented"


def check_asked(asked: CaConfig) -> None:
    """Whether this can be done at all.

    Raises:
        InvalidInputError: a key without its certificate.
        NotImplementedHereError: an authority outside of the swarm is to sign.
    """
    if asked.external_cas:
        urls = ", ".join(one.url for one in asked.external_cas)
        raise NotImplementedHereError(f"{EXTERNAL}: {urls}")
    if asked.signing_ca_key and not asked.signing_ca_cert:
        raise InvalidInputError(NO_CERTIFICATE)
    if asked.signing_ca_cert and not asked.signing_ca_key:
        raise NotImplementedHereError(
            f"{EXTERNAL}: a CA certificate without its key needs one", hint="give the key, too"
        )


def changes_root(before: CaConfig, asked: CaConfig) -> bool:
    """Whether another root is asked for."""
    return bool(asked.signing_ca_cert) or asked.force_rotate != before.force_rotate


def asked_root(root: RootCa, asked: CaConfig, now: float) -> RootCa:
    """The authority with a rotation on, to the root that is given or to a new one.

    One that is on already is to go there instead. The present root, given again, calls it off.

    Raises:
        InvalidInputError: what is given cannot be a root.
        UnavailableError: the present root has no key here.
    """
    from common.pki.authority import Root, cross_sign, new_root  # noqa: PLC0415 - slow to load
    from common.pki.given_root import read_root  # noqa: PLC0415

    if not root.key:
        raise UnavailableError("this manager does not have the cluster's certificate authority")
    given, key = asked.signing_ca_cert, asked.signing_ca_key
    new = read_root(given, key, now) if given else new_root(now)
    if new.certificate.strip() == root.certificate.strip():
        return replace(root, rotation=None)
    if root.rotation is not None and new.certificate == root.rotation.certificate:
        return root
    old = Root(certificate=root.certificate, key=root.key)
    between = cross_sign(old, new.certificate, now)
    return replace(
        root,
        rotation=RootRotation(certificate=new.certificate, key=new.key, cross_signed=between),
    )


def kept(asked: CaConfig) -> CaConfig:
    """What of it is kept in the spec: neither certificate nor key, which have their own place."""
    return replace(asked, signing_ca_cert="", signing_ca_key="", external_cas=())
