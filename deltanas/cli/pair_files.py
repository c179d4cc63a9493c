"""Writes training pairs into a folder: under temporary names, until all of them are there and checked."""

import fcntl
import hashlib
import json
import os
from contextlib import ExitStack, suppress
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deltanas.errors import PlatformFailed, RequestInvalid

Json = dict[str, Any]

SPLITS = ("train", "validation")
MANIFEST = "manifest.json"
FORMAT = "deltanas training pairs 1"


class PairFiles:
    """train.jsonl, validation.jsonl and manifest.json of a folder; what was there stays until `finish`.

    One writes into a folder at a time: two would write into each other's unfinished files.
    """

    def __init__(self, folder: Path) -> None:
        """Raises RequestInvalid where the folder cannot be written to, or another process does so."""
        self._folder = folder
        self._stack = ExitStack()
        self._digests = {split: hashlib.sha256() for split in SPLITS}
        self._bytes = dict.fromkeys(SPLITS, 0)
        self._pairs = dict.fromkeys(SPLITS, 0)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock()
            self._files = {
                split: self._stack.enter_context(self._unfinished(file_name(split)).open("wb"))
                for split in SPLITS
            }
        except BlockingIOError as error:
            self._stack.close()
            raise RequestInvalid(
                f"another process is writing pairs into the folder {folder}",
                {"code": "output_in_use", "field": "output", "value": str(folder), "remedy": "Name another."},
            ) from error
        except OSError as error:
            self._stack.close()
            raise RequestInvalid(
                f"cannot write to the folder {folder}: {error.strerror}",
                {"code": "output_unusable", "field": "output", "value": str(folder)},
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in (*map(file_name, SPLITS), MANIFEST):
            self._unfinished(name).unlink(missing_ok=True)
        with suppress(OSError):  # on a full disk closing writes once more, in vain
            self._stack.close()

    def _lock(self) -> None:
        """Keep others out until this process lets go or ends. Raises BlockingIOError, OSError."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        self._stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def add(self, pair: Json) -> None:
        """Write one pair into the file of its split."""
        split = pair.get("split")
        if split not in self._files:
            raise PlatformFailed(f"the server gave a pair of an unknown split: {str(split)[:60]!r}")
        line = json.dumps(pair, separators=(",", ":")).encode() + b"\n"
        self._files[split].write(line)
        self._digests[split].update(line)
        self._bytes[split] += len(line)
        self._pairs[split] += 1

    def finish(self, summary: Json) -> Json:
        """Check the files against the server's digests, give them their names, and give the manifest."""
        digests = {split: digest.hexdigest() for split, digest in self._digests.items()}
        if summary.get("sha256") != digests:
            raise PlatformFailed("the pairs that came are not those that the server sent")
        manifest = {
            "format": FORMAT,
            "deltanas_version": version("deltanas"),
            "files": {
                file_name(split): {
                    "pairs": self._pairs[split],
                    "bytes": self._bytes[split],
                    "sha256": digests[split],
                }
                for split in SPLITS
            },
            **{key: value for key, value in summary.items() if key != "sha256"},
        }
        text = json.dumps(manifest, indent=2) + "\n"
        self._unfinished(MANIFEST).write_text(text, encoding="ascii")
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
            file.close()
        # The manifest comes last: where there is one, it is of the files beside it.
        (self._folder / MANIFEST).unlink(missing_ok=True)
        for name in (*map(file_name, SPLITS), MANIFEST):
            self._unfinished(name).replace(self._folder / name)
        return manifest

    def _unfinished(self, name: str) -> Path:
        return self._folder / f".{name}.unfinished"


def file_name(split: str) -> str:
    """Where the pairs of a split are."""
    return f"{split}.jsonl"
