"""A body that is passed on to another service as it comes, counted, within its tenant's room."""

from collections.abc import AsyncIterator

from gateway.routes.problems import RequestProblem


class Passing:
    """A stream that is counted, and ends where the tenant's room does. Raises RequestProblem there."""

    def __init__(self, content: AsyncIterator[bytes], room: int | None) -> None:
        """`room` in bytes; None: nothing limits it here."""
        self.size_bytes = 0
        self.is_whole = False
        self._content = content
        self._room = room

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._content:
            self.size_bytes += len(chunk)
            if self._room is not None and self.size_bytes > self._room:
                raise RequestProblem(
                    403,
                    "storage_full",
                    f"The quota storage_bytes has room for {self._room} bytes, and more are sent.",
                    field="storage_bytes",
                    value=self.size_bytes,
                    remedy="Ask the operator for more. `deltanas quota` shows what is used.",
                )
            yield chunk
        self.is_whole = True
