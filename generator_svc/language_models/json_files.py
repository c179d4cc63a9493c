"""JSON files that came with a model or an adapter: a stranger's, so bounded, and an object or nothing."""

import json
from pathlib import Path
from typing import Any

MAX_BYTES = 4 * 1024 * 1024


class JsonUnreadable(Exception):
    """A file is no JSON object, or too large; the message names it."""


def read_object(path: Path, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The object in a file. Raises JsonUnreadable."""
    try:
        with path.open("rb") as file:
            text = file.read(max_bytes + 1)
        if len(text) > max_bytes:
            raise JsonUnreadable(f"{path.name} is larger than {max_bytes} bytes")
        document = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise JsonUnreadable(f"{path.name} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise JsonUnreadable(f"{path.name} is no JSON object")
    return document
