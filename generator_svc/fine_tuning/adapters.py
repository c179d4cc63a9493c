"""The adapters of this server: DELTANAS_HOME/adapters/ID/, as PEFT and vLLM load them, with a manifest."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from contracts.fine_tuning import AdapterManifest
from generator_svc.fine_tuning.durable_files import remove_folder, sync_folder
from generator_svc.fine_tuning.settings import NAME

FOLDER = "adapters"
MANIFEST = "manifest.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
FILES = (CONFIG, WEIGHTS, MANIFEST)

_MANIFEST = TypeAdapter(AdapterManifest)


class AdapterUnknown(LookupError):
    """There is no adapter of this id."""


class AdapterStore:
    """Reads, takes in and removes adapters; the trainer writes its own."""

    def __init__(self, home: Path) -> None:
        self.folder = home.absolute() / FOLDER

    def all(self) -> list[AdapterManifest]:
        """Every adapter with a readable manifest, the newest first."""
        return sorted(self._found(), key=lambda one: (one.created_at, one.id), reverse=True)

    def manifest(self, adapter_id: str) -> AdapterManifest:
        """Where one comes from. Raises AdapterUnknown."""
        try:
            return _MANIFEST.validate_json((self._path(adapter_id) / MANIFEST).read_bytes())
        except (OSError, ValidationError) as error:
            raise AdapterUnknown(adapter_id) from error

    def files(self, adapter_id: str) -> list[Path]:
        """Its files, by name. Raises AdapterUnknown."""
        path = self._path(adapter_id)
        files = [path / name for name in sorted(FILES) if (path / name).is_file()]
        if not files:
            raise AdapterUnknown(adapter_id)
        return files

    def put(self, adapter_id: str, draft: Path) -> None:
        """Put a folder that is on disk in the place of an adapter. Raises OSError."""
        path = self._path(adapter_id)
        remove_folder(path)
        draft.rename(path)
        sync_folder(self.folder)

    def remove(self, adapter_id: str) -> None:
        """Remove one. Raises AdapterUnknown, OSError."""
        if not self.exists(adapter_id):
            raise AdapterUnknown(adapter_id)
        remove_folder(self._path(adapter_id))

    def exists(self, adapter_id: str) -> bool:
        """Whether there is one."""
        return NAME.fullmatch(adapter_id) is not None and self._path(adapter_id).is_dir()

    def _path(self, adapter_id: str) -> Path:
        if not NAME.fullmatch(adapter_id):
            raise AdapterUnknown(adapter_id)
        return self.folder / adapter_id

    def _found(self) -> Iterator[AdapterManifest]:
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            try:
                yield self.manifest(path.name)
            except AdapterUnknown:
                continue
