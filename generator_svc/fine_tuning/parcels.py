"""An adapter on its way from one generator to another: its manifest on a line, then its files' bytes.

The manifest says which files follow, how long each is and its SHA-256. So nothing is unpacked, and what
comes in is bounded before its first byte is written. Weights are safetensors, whose header alone is read.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from pydantic import TypeAdapter, ValidationError

from contracts.fine_tuning import AdapterFile, AdapterManifest
from contracts.problems import problem
from generator_svc.fine_tuning.adapters import CONFIG, MANIFEST, WEIGHTS, AdapterStore
from generator_svc.fine_tuning.durable_files import remove_folder, sync_file, sync_folder
from generator_svc.language_models.json_files import JsonUnreadable, read_object
from generator_svc.language_models.local.safetensors_files import WeightsUnreadable, read_tensors
from generator_svc.language_models.model_store import ModelDamaged, ModelStore, ModelUnknown
from generator_svc.request_checks import Refused, refuse_field

MAX_MANIFEST_BYTES = 128 * 1024
MOST_BYTES = {CONFIG: 256 * 1024, WEIGHTS: 4 * 1024**3}
"""The files that an adapter has, and how large each may be."""
COPY_BYTES = 1024 * 1024

_MANIFEST = TypeAdapter(AdapterManifest)


def open_parcel(store: AdapterStore, adapter_id: str) -> tuple[int, Iterator[bytes]]:
    """How long the parcel of an adapter is, and its bytes. Raises AdapterUnknown."""
    manifest = store.manifest(adapter_id)
    folder = store.folder / adapter_id
    first = json.dumps(asdict(manifest)).encode() + b"\n"
    length = len(first) + sum(file.size_bytes for file in manifest.files)
    return length, _bytes_of(first, [folder / file.name for file in manifest.files])


def _bytes_of(first: bytes, paths: list[Path]) -> Iterator[bytes]:
    yield first
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(COPY_BYTES):
                yield chunk


class ParcelIntake:
    """A parcel on its way in. A context manager: what was not put into the store is removed at the end."""

    def __init__(self, adapter_id: str, folder: Path, home: Path) -> None:
        """`folder` is new, beside those of adapters. Raises OSError."""
        self.folder = folder
        self.adapter_id = adapter_id
        self._home = home
        self.folder.mkdir(mode=0o700, parents=True)
        self._line = bytearray()
        self._manifest: AdapterManifest | None = None
        self._to_come: list[AdapterFile] = []
        self._file: IO[bytes] | None = None
        self._digest = hashlib.sha256()
        self._missing = 0

    def __enter__(self) -> "ParcelIntake":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # on a full disk closing writes once more, in vain
            if self._file is not None:
                self._file.close()
        remove_folder(self.folder)

    def write(self, chunk: bytes) -> None:
        """Take in the next bytes. Raises Refused, OSError."""
        if self._manifest is None:
            line, newline, chunk = chunk.partition(b"\n")
            self._line += line
            if len(self._line) > MAX_MANIFEST_BYTES:
                refuse_field("manifest", f"is longer than {MAX_MANIFEST_BYTES} bytes", None)
            if not newline:
                return
            self._begin(self._read_manifest(bytes(self._line)))
        while chunk:
            if self._file is None:
                refuse_field("body", "goes on after the last file", None)
            part, chunk = chunk[: self._missing], chunk[self._missing :]
            self._file.write(part)
            self._digest.update(part)
            self._missing -= len(part)
            if not self._missing:
                self._end_file()

    def finish(self) -> AdapterManifest:
        """See that everything is there and bring it to disk. Raises Refused, OSError."""
        if self._manifest is None or self._file is not None:
            refuse_field("body", "ends too early", None, "Send it again.")
        self._check_contents(self._manifest)
        path = self.folder / MANIFEST
        path.write_bytes(json.dumps(asdict(self._manifest), indent=1).encode())
        sync_file(path)
        sync_folder(self.folder)
        return self._manifest

    def _read_manifest(self, line: bytes) -> AdapterManifest:
        try:
            manifest = _MANIFEST.validate_json(line)
        except ValidationError as error:
            refuse_field("manifest", f"cannot be read: {str(error)[:300]}", None)
        if manifest.id != self.adapter_id:
            refuse_field("manifest.id", f"must be {self.adapter_id!r}", manifest.id[:100])
        if sorted(file.name for file in manifest.files) != sorted(MOST_BYTES):
            refuse_field("manifest.files", f"must be {', '.join(sorted(MOST_BYTES))}", None)
        for file in manifest.files:
            if not 1 <= file.size_bytes <= MOST_BYTES[file.name]:
                refuse_field(
                    "manifest.files",
                    f"{file.name} must have 1 to {MOST_BYTES[file.name]} bytes",
                    file.size_bytes,
                )
        return manifest

    def _begin(self, manifest: AdapterManifest) -> None:
        self._manifest = manifest
        self._to_come = list(manifest.files)
        self._begin_file()

    def _begin_file(self) -> None:
        told = self._to_come[0]
        self._file = (self.folder / told.name).open("wb")
        self._digest = hashlib.sha256()
        self._missing = told.size_bytes

    def _end_file(self) -> None:
        told, file = self._to_come.pop(0), self._file
        if self._digest.hexdigest() != told.sha256:
            refuse_field(f"files.{told.name}", "has another SHA-256 than the manifest says", None)
        if file is not None:
            file.flush()
            os.fsync(file.fileno())
            file.close()
        self._file = None
        if self._to_come:
            self._begin_file()

    def _check_contents(self, manifest: AdapterManifest) -> None:
        try:
            read_object(self.folder / CONFIG, MOST_BYTES[CONFIG])
            read_tensors(self.folder / WEIGHTS)
        except (JsonUnreadable, WeightsUnreadable) as error:
            refuse_field("files", f"cannot be read: {error}", None)
        here = weights_of_models(self._home).get(manifest.base_model)
        if here not in {None, manifest.base_weights_sha256}:
            raise Refused(
                problem(
                    409,
                    "adapter_mismatch",
                    f"The adapter was trained on other weights than those of {manifest.base_model!r} here.",
                    remedy="Add the same model under that name on every host that trains.",
                )
            )


def weights_of_models(home: Path) -> dict[str, str]:
    """The SHA-256 of the weights of each model that a home holds, by its name."""
    store = ModelStore(home)
    found = {}
    for name in store.names():
        with suppress(ModelUnknown, ModelDamaged):
            found[name] = store.read(name).manifest.weights_sha256
    return found
