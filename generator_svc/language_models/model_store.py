"""The language models of this machine: `DELTANAS_HOME/models/<name>/`, each with a manifest.

A model appears whole or not at all: it is built in a folder beside the others and gets its name at the end.
"""

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from generator_svc.language_models.json_files import JsonUnreadable, read_object

MANIFEST = "manifest.json"
NAME_RULE = "lower-case letters, digits, '.', '_' and '-', at most 64, a letter or digit first"
MAX_MANIFEST_BYTES = 64 * 1024

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_BUILDING = ".building-"
_LEAVING = ".leaving-"


class ModelUnknown(Exception):
    """No model has this name. `known` are the names that there are."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"No model is named {name[:80]!r}.")
        self.known = known


class ModelDamaged(Exception):
    """The model's folder is not as it was when it was added."""


class ModelExists(Exception):
    """A model has this name already."""


class NameInvalid(Exception):
    """No model may be called this."""


@dataclass(frozen=True)
class ModelManifest:
    """What a model is, fixed when it was added."""

    name: str
    source: str
    """A public id, such as `Qwen/Qwen2.5-Coder-0.5B-Instruct`, or the name of a file or folder."""
    origin: str
    """`hub`, `folder`, `gguf` or `package`."""
    licence: str
    """As its source says it; `unknown` where that says nothing."""
    architecture: str
    parameters: int
    context_length: int
    """Tokens of prompt and answer together."""
    weights_sha256: str
    """Of the one safetensors file; of several: of the lines `digest  name` in order of their names."""
    weights_bytes: int
    load_in_4bit: bool
    added: str
    """RFC 3339, UTC."""


@dataclass(frozen=True)
class StoredModel:
    """A model and the folder that it is loaded from."""

    manifest: ModelManifest
    folder: Path


def check_name(name: str) -> str:
    """The name itself. Raises NameInvalid."""
    if not _NAME.fullmatch(name):
        raise NameInvalid(f"{name[:80]!r} cannot be a model's name: {NAME_RULE}.")
    return name


class ModelStore:
    """The models of one DELTANAS_HOME. Reading needs no lock: a folder appears and goes in one step."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "models"

    def names(self) -> list[str]:
        """Of all models, in order."""
        if not self._folder.is_dir():
            return []
        found = (entry.name for entry in self._folder.iterdir() if entry.is_dir())
        return sorted(name for name in found if _NAME.fullmatch(name))

    def read(self, name: str) -> StoredModel:
        """One model. Raises ModelUnknown, ModelDamaged."""
        folder = self._folder / name
        if not _NAME.fullmatch(name) or not folder.is_dir():
            raise ModelUnknown(name, self.names())
        return StoredModel(_read_manifest(name, folder / MANIFEST), folder)

    def refuse_taken(self, name: str) -> None:
        """Raise ModelExists if a model has this name."""
        if (self._folder / check_name(name)).exists():
            raise ModelExists(f"A model is named {name} already.")

    @contextmanager
    def building(self) -> Iterator[Path]:
        """A folder in which a model is put together; gone at the end of the block unless it was published.

        What an earlier process left behind, killed while it built, is cleared away first.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._clear_abandoned()
        folder = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=self._folder))
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield folder
        finally:
            if folder.exists():
                shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)

    def publish(self, folder: Path, manifest: ModelManifest) -> StoredModel:
        """Give a built folder its name. Raises ModelExists, NameInvalid."""
        self.refuse_taken(manifest.name)
        (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
        for path in (*folder.iterdir(), folder):
            _sync(path)
        target = self._folder / manifest.name
        try:
            folder.rename(target)
        except OSError as error:
            raise ModelExists(f"A model is named {manifest.name} already.") from error
        _sync(self._folder)
        return StoredModel(manifest, target)

    def remove(self, name: str) -> None:
        """Forget a model; a process that has it loaded keeps it until it ends. Raises ModelUnknown."""
        if not _NAME.fullmatch(name) or not (self._folder / name).is_dir():
            raise ModelUnknown(name, self.names())
        leaving = Path(tempfile.mkdtemp(prefix=_LEAVING, dir=self._folder))
        (self._folder / name).rename(leaving / name)
        shutil.rmtree(leaving)

    def _clear_abandoned(self) -> None:
        for entry in self._folder.iterdir():
            if entry.name.startswith(_LEAVING) or (entry.name.startswith(_BUILDING) and _is_abandoned(entry)):
                shutil.rmtree(entry, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def _read_manifest(name: str, path: Path) -> ModelManifest:
    try:
        document = read_object(path, MAX_MANIFEST_BYTES)
        values = {field.name: document[field.name] for field in fields(ModelManifest)}
        for field in fields(ModelManifest):
            if type(values[field.name]) is not field.type:
                raise TypeError(f"{field.name} is of another type")
    except (JsonUnreadable, KeyError, TypeError) as error:
        raise ModelDamaged(f"The manifest of {name} cannot be read: {error}") from error
    return ModelManifest(**values)


def _sync(path: Path) -> None:
    """Bring a file, or a folder's names, to the disk: after a power cut a model is whole or not there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
