"""Who is let in, and as what: decisions about join tokens and node ids. Pure."""

import hashlib
from typing import Final

from common.errors import ForbiddenError
from common.ids import ID_LENGTH
from common.model.cluster import RootCa
from common.model.node import Role
from common.pki.tokens import is_same_token

NOT_LET_IN: Final = "A valid join token is necessary to join this cluster"
_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def role_of_token(token: str, root: RootCa) -> Role:
    """As what a token lets its owner in. Takes as long whatever the token has in common with the right ones.

    Raises:
        ForbiddenError: it is not one of this cluster's.
    """
    is_worker = is_same_token(root.worker_token, token)
    is_manager = is_same_token(root.manager_token, token)
    if is_manager:
        return Role.MANAGER
    if is_worker:
        return Role.WORKER
    raise ForbiddenError(NOT_LET_IN)


def node_id_for(cluster_id: str, public_key: bytes) -> str:
    """The id of the node with that key, in Docker's form.

    It follows from the key, which is new for each joining: so a request that is repeated, on this manager or another,
    before or after its node is known everywhere, means the same node and never makes a second one.
    """
    digest = hashlib.sha256(cluster_id.encode() + b"\0" + public_key).digest()
    number, digits = int.from_bytes(digest, "big"), []
    for _ in range(ID_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)
