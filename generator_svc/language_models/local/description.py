"""What a model's folder says of itself: the manifest, or why the model cannot be used here."""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from generator_svc.language_models.json_files import JsonUnreadable, read_object
from generator_svc.language_models.local.safetensors_files import (
    WeightsElsewhere,
    WeightsUnreadable,
    tensors_in,
    weight_files,
)
from generator_svc.language_models.model_store import ModelManifest

_HASHED_AT_ONCE = 8 * 1024 * 1024
_CONTEXT_FIELDS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")
_LICENCE = re.compile(r"^license:\s*([A-Za-z0-9.+-]{1,60})\s*$", re.MULTILINE)
_README_BYTES = 64 * 1024
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


class ModelRefused(Exception):
    """The model cannot be used here. `code` is stable; `remedy` says what to do."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.code = code
        self.remedy = remedy


@dataclass(frozen=True)
class Progress:
    """A step of adding a model. `total` is 0 where it is not known."""

    step: str
    done: int = 0
    total: int = 0


Tell = Callable[[Progress], None]


def manifest_of(
    folder: Path,
    name: str,
    source: str,
    origin: str,
    licence: str | None = None,
    load_in_4bit: bool = False,
    tell: Tell = lambda _: None,
) -> ModelManifest:
    """What a model's folder says of itself. Raises ModelRefused unless it could be loaded and spoken to."""
    config = _config(folder)
    files = _weights_of(folder, config)
    if not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        raise ModelRefused(
            "no_tokenizer", "The folder has no tokenizer.", "Use a folder as `save_pretrained` writes it."
        )
    if not _has_chat_template(folder):
        raise ModelRefused(
            "no_chat_template",
            "The model has no chat template: it was not trained to answer.",
            "Use an instruct or chat variant of the model.",
        )
    try:
        parameters = sum(tensor.elements for tensor in tensors_in(folder).values())
    except WeightsUnreadable as error:
        raise ModelRefused(
            "weights_unreadable", f"The weights cannot be read: {error}", "Fetch the model again."
        ) from error
    return ModelManifest(
        name=name,
        source=source,
        origin=origin,
        licence=licence or _licence(folder),
        architecture=_architecture(config),
        parameters=parameters,
        context_length=_context_length(config),
        weights_sha256=_digest(files, tell),
        weights_bytes=sum(file.stat().st_size for file in files),
        load_in_4bit=load_in_4bit,
        added=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    )


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = read_object(folder / "config.json")
    except JsonUnreadable as error:
        raise ModelRefused(
            "no_config", f"{error}.", "Use the folder of a model as `save_pretrained` writes it."
        ) from error
    if not config.get("model_type"):
        raise ModelRefused(
            "no_config", "config.json names no model_type.", "Use a model that transformers knows."
        )
    return config


def _architecture(config: dict[str, Any]) -> str:
    named = config.get("architectures")
    return str(named[0])[:120] if isinstance(named, list) and named else "unknown"


def _weights_of(folder: Path, config: dict[str, Any]) -> list[Path]:
    """The very files that transformers will load, which would follow an adapter to another base, too.

    Raises ModelRefused.
    """
    if (folder / "adapter_config.json").exists():
        raise ModelRefused(
            "is_adapter",
            "The folder has an adapter_config.json, which names another model as its base.",
            "Name the folder of a whole model. Adapters lie in DELTANAS_HOME/adapters.",
        )
    if not any(folder.glob("*.safetensors")):
        raise _no_weights(folder)
    try:
        if config.get("transformers_weights") is not None:
            raise WeightsElsewhere(config["transformers_weights"])
        return weight_files(folder)
    except WeightsElsewhere as error:
        raise ModelRefused(
            "weights_elsewhere",
            f"Its weights are said to be in {str(error)[:120]!r}: no .safetensors file of the folder.",
            "Use the folder of a model as `save_pretrained` writes it.",
        ) from error
    except WeightsUnreadable as error:
        raise ModelRefused(
            "no_weights",
            f"The folder's weights are not found: {error}.",
            "Use the folder of a model as `save_pretrained` writes it.",
        ) from error


def _no_weights(folder: Path) -> ModelRefused:
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in {".bin", ".pt", ".pth"})
    if pickled:
        return ModelRefused(
            "pickled_weights",
            f"The weights are pickled ({pickled[0][:80]}), and a pickle can run code when it is read.",
            "Use a release of the model with .safetensors files.",
        )
    return ModelRefused(
        "no_weights", "The folder has no .safetensors files.", "Name the folder that holds the weights."
    )


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    try:
        return bool(read_object(folder / "tokenizer_config.json").get("chat_template"))
    except JsonUnreadable:
        return False


def _context_length(config: dict[str, Any]) -> int:
    texts = config.get("text_config")
    for found in (config, texts if isinstance(texts, dict) else {}):
        for field in _CONTEXT_FIELDS:
            if isinstance(found.get(field), int) and found[field] > 0:
                return int(found[field])
    raise ModelRefused(
        "no_context_length",
        "config.json does not say how many tokens the model takes.",
        f"Add `{_CONTEXT_FIELDS[0]}` to its config.json.",
    )


def _licence(folder: Path) -> str:
    try:
        with (folder / "README.md").open("rb") as file:
            text = file.read(_README_BYTES).decode(errors="replace")
    except OSError:
        return "unknown"
    found = _LICENCE.search(text)
    return found[1] if found else "unknown"


def _digest(files: list[Path], tell: Tell) -> str:
    """As `ModelManifest.weights_sha256`."""
    total, done = sum(file.stat().st_size for file in files), 0
    digests = []
    for path in files:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_HASHED_AT_ONCE):
                digest.update(block)
                done += len(block)
                tell(Progress("checking", done, total))
        digests.append(digest.hexdigest())
    if len(files) == 1:
        return digests[0]
    return hashlib.sha256(_lines(zip(digests, files, strict=True)).encode()).hexdigest()


def _lines(digests: Iterable[tuple[str, Path]]) -> str:
    return "".join(f"{digest}  {path.name}\n" for digest, path in digests)
