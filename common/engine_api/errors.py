"""Errors as the Engine API tells them: a status code and ``{"message": …}``."""

from common.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotAcceptableError,
    NotFoundError,
    NotImplementedHereError,
    StaleVersionError,
    SwarmdError,
    SystemFailureError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)

STATUS: dict[type[SwarmdError], int] = {
    InvalidInputError: 400,
    UnauthorizedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    NotAcceptableError: 406,
    StaleVersionError: 500,
    ConflictError: 409,
    TooLargeError: 413,
    NotImplementedHereError: 501,
    UnavailableError: 503,
    SystemFailureError: 500,
}
"""Docker's code for each error; the most special class that an error belongs to counts."""


def status_of(error: SwarmdError) -> int:
    """The status code that answers an error."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
