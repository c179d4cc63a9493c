"""What a user imports and types: `Client`, and the command `deltanas`. Nobody in the house imports it."""

from typing import Any

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    """Import the client when it is first asked for, so that the command line starts without it."""
    if name == "Client":
        from deltanas.client import Client

        return Client
    raise AttributeError(f"module 'deltanas' has no attribute {name!r}")
