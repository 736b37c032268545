"""Answers of Docker's that clients recognise by their very words."""

from common.errors import ConflictError, StaleVersionError, UnavailableError


def name_taken(name: str) -> ConflictError:
    """A service of this name exists."""
    return ConflictError(
        "rpc error: code = AlreadyExists desc = name conflicts with an existing object: "
        f"service {name} already exists"
    )


def out_of_sequence() -> StaleVersionError:
    """The object was changed since the version that the request names."""
    return StaleVersionError("rpc error: code = Unknown desc = update out of sequence")


def swarm_exists() -> UnavailableError:
    """The node is part of a swarm already."""
    return UnavailableError(
        'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm '
        "and join another one."
    )
