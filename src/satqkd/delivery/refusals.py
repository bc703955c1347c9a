"""How a request is refused: a status, and the standard's Error object as the body, always.

Words that the standard prescribes stand here alone. ETSI GS QKD 014 V1.1.1, section 6 (status codes 400,
401, 503) and the tables of its methods; 404 and 405 are plain HTTP, for what is no part of the interface.
"""

from http import HTTPStatus
from typing import Final

import msgspec

NOT_A_MULTIPLE: Final = "size shall be a multiple of 8"
MANDATORY_UNKNOWN: Final = "not all extension_mandatory parameters are supported"
MANDATORY_UNMET: Final = "not all extension_mandatory request options could be met"
NOT_FOUND: Final = "one or more keys specified are not found on KME"
BUSY_S: Final = 1
"""Seconds after which a request that came too soon may be tried again."""


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The standard's Error object."""

    message: str
    details: tuple[dict[str, str], ...] = ()
    """Objects of a name and a value."""


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """A request is answered with a status and an Error object."""

    def __init__(self, status: HTTPStatus, message: str, **details: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = ErrorBody(message, (details,) if details else ())
        self.headers: dict[str, str] = {}

    def with_header(self, name: str, value: str) -> "Refusal":
        """The same with a header."""
        self.headers[name] = value
        return self


def bad_request(message: str, **details: str) -> Refusal:
    """400: what was expected, what came."""
    return Refusal(HTTPStatus.BAD_REQUEST, message, **details)


def unauthorized(message: str) -> Refusal:
    """401: this caller may not have it."""
    return Refusal(HTTPStatus.UNAUTHORIZED, message)


def unavailable(message: str) -> Refusal:
    """503: a fault or a want of this side."""
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, message)


def too_soon(message: str) -> Refusal:
    """503 that says when to try again."""
    return unavailable(message).with_header("Retry-After", str(BUSY_S))
