"""Every error a user can meet.

SwarmdError                     a sentence for its reader, and a hint when there is something to do
├── InvalidInputError           400  the request itself is wrong
├── UnauthorizedError           401
├── ForbiddenError              403
├── NotFoundError               404  "service web not found", "No such image: x:1"
├── NotAcceptableError          406
├── ConflictError               409  name taken, port in use by another service, still referenced
│   └── StaleVersionError       500  "update out of sequence" (Docker answers 500 here)
├── TooLargeError               413
├── NotImplementedHereError     501  a part of Docker's API that we refuse rather than fake
├── UnavailableError            503  not (yet) able to answer; trying again may help
│   ├── NotInSwarmError         503  "This node is not a swarm manager."
│   ├── NotLeaderError          503
│   ├── NoLeaderError           503  "The swarm does not have a leader. …"
│   └── OutcomeUnknownError     503  a proposal that may or may not be committed
└── SystemFailureError          500  the machine refused (disk full, kernel said no)

The number is the Engine API's status code; ``common.engine_api.errors`` holds the table.
"""

from typing_extensions import override


class SwarmdError(Exception):
    """A sentence for its reader; ``hint`` says what to do about it, when there is something."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @override
    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidInputError(SwarmdError):
    """The request itself is wrong; nothing was changed."""


class UnauthorizedError(SwarmdError):
    """Who asks could not be established."""


class ForbiddenError(SwarmdError):
    """Who asks may not do this."""


class NotFoundError(SwarmdError):
    """What the request names does not exist."""


class NotAcceptableError(SwarmdError):
    """The node is in a state in which this cannot be done (Docker's 406)."""


class ConflictError(SwarmdError):
    """The request contradicts what exists: a taken name or port, an object still in use."""


class StaleVersionError(ConflictError):
    """Someone changed the object since the version that the request names."""


class TooLargeError(SwarmdError):
    """The request is larger than its bound."""


class NotImplementedHereError(SwarmdError):
    """A part of the Engine API that is refused rather than faked."""


class UnavailableError(SwarmdError):
    """Not able to answer now; the same request may succeed later."""


class NotInSwarmError(UnavailableError):
    """The node is not a swarm manager."""


class NotLeaderError(UnavailableError):
    """Only the leader can do this, and this manager does not lead."""


class NoLeaderError(UnavailableError):
    """No manager leads the swarm: a majority of them is missing. In Docker's words."""

    def __init__(self) -> None:
        super().__init__(
            "The swarm does not have a leader. It's possible that too few managers are online. "
            "Make sure more than half of the managers are online."
        )


class OutcomeUnknownError(UnavailableError):
    """A proposal was made and leadership was lost: it may or may not be committed."""


class SystemFailureError(SwarmdError):
    """The machine refused: the disk is full, the kernel said no, a program failed."""
