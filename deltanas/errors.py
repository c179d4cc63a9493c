"""What a call of the client can raise. Each error carries the server's problem document (RFC 9457)."""

from typing import Any


class DeltanasError(Exception):
    """A call failed. `problem` is the problem document, or an empty dictionary when no server answered."""

    def __init__(self, message: str, problem: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.problem = problem or {}

    @property
    def code(self) -> str:
        """The stable code of the problem, for programs."""
        return str(self.problem.get("code", ""))

    @property
    def field(self) -> str | None:
        """Which field of the request is at fault."""
        return self.problem.get("field")

    @property
    def remedy(self) -> str | None:
        """What to do about it."""
        return self.problem.get("remedy")


class RequestInvalid(DeltanasError):
    """The request breaks a rule (400, 413, 415, 422); nothing has changed."""


class NotAllowed(DeltanasError):
    """The API key is missing, wrong, or not enough (401, 403)."""


class NotFound(DeltanasError):
    """There is no such thing (404)."""


class Conflict(DeltanasError):
    """The thing is not in a state that allows it (409), such as pausing a finished search."""


class TooManyRequests(DeltanasError):
    """The server asks to slow down (429) and still does after all retries."""


class PlatformFailed(DeltanasError):
    """The server failed (5xx), or answered what is not deltanas's language."""


class ServerUnreachable(DeltanasError):
    """No server answers at the address."""


class StillRunning(DeltanasError):
    """What was waited for has not ended within the given time. It goes on."""


def error_for(status: int, problem: dict[str, Any]) -> DeltanasError:
    """The exception for an answer of that status."""
    kinds: dict[int, type[DeltanasError]] = {
        401: NotAllowed,
        403: NotAllowed,
        404: NotFound,
        409: Conflict,
        429: TooManyRequests,
    }
    kind = kinds.get(status, RequestInvalid if 400 <= status < 500 else PlatformFailed)
    return kind(str(problem.get("detail") or problem.get("title") or f"HTTP status {status}"), problem)
