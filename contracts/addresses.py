"""Where a service listens, written `unix:/path/to.sock` or `http://host:port`."""

from dataclasses import dataclass
from urllib.parse import urlsplit


class AddressInvalid(ValueError):
    """An address is neither `unix:/path` nor `http(s)://host[:port]`."""


@dataclass(frozen=True)
class Address:
    """A parsed address. `socket_path` is set for unix sockets; `base_url` always works with httpx."""

    base_url: str
    socket_path: str | None
    host: str
    port: int

    def listen_options(self) -> dict[str, str | int]:
        """Keyword arguments for `uvicorn.run`."""
        return {"uds": self.socket_path} if self.socket_path else {"host": self.host, "port": self.port}


def parse_address(text: str) -> Address:
    """Parse an address. Raises AddressInvalid."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or len(path.encode()) > 100:
            raise AddressInvalid(f"{text!r}: a socket path must be absolute and at most 100 bytes long")
        return Address("http://localhost", path, "", 0)
    try:
        parts = urlsplit(text)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise AddressInvalid(f"{text!r}: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise AddressInvalid(f"{text!r}: write unix:/path/to.sock or http://host:port")
    return Address(text.rstrip("/"), None, parts.hostname, port)
