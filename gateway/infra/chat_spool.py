"""Keeps chats for a while: in a file without a name, which ends with the process, however that ends."""

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import TypeAdapter

from contracts.training_pairs import TrainingPair

_CHAT = TypeAdapter(TrainingPair)
_LENGTH_BYTES = 4


class ChatSpool:
    """Chats are added, then all of them read in the same order. Raises OSError on a full disk."""

    def __init__(self, folder: Path) -> None:
        """The file lies on the disk of `folder`."""
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it outlives this call

    def add(self, chat: TrainingPair) -> None:
        """Keep one more: a few KB each, since a network's source compresses well."""
        packed = zlib.compress(_CHAT.dump_json(chat), 1)
        self._file.write(len(packed).to_bytes(_LENGTH_BYTES) + packed)

    def __iter__(self) -> Iterator[TrainingPair]:
        self._file.seek(0)
        while length := self._file.read(_LENGTH_BYTES):
            yield _CHAT.validate_json(zlib.decompress(self._file.read(int.from_bytes(length))))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
