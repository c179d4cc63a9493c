"""Where a model comes from, by what was asked for: the hub, a folder, a GGUF file, a package."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from generator_svc.language_models.local.description import ModelRefused

DEFAULT_ID = "Qwen/Qwen2.5-Coder-0.5B-Instruct"
PACKAGED = "smollm2"
PACKAGED_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")


class Kind(StrEnum):
    """How a model is brought here."""

    HUB = "hub"
    FOLDER = "folder"
    GGUF = "gguf"
    PACKAGE = "package"


@dataclass(frozen=True)
class Origin:
    """A model to be added. `source` is what the manifest will name, `name` what it will be called."""

    kind: Kind
    name: str
    source: str
    path: Path | None = None


def read_origin(asked: str, path: Path | None, name: str | None) -> Origin:
    """What `deltanas models add ASKED [--from PATH] [--name NAME]` means. Raises ModelRefused."""
    called = name or _name_for(asked)
    if path is not None:
        kind = _kind_of_path(path)
        return Origin(kind, called, asked if _HUB_ID.fullmatch(asked) else path.name, path)
    if asked == PACKAGED:
        return Origin(Kind.PACKAGE, name or PACKAGED, PACKAGED_ID)
    if _HUB_ID.fullmatch(asked):
        return Origin(Kind.HUB, called, asked)
    raise ModelRefused(
        "source_unknown",
        f"{asked[:120]!r} is no hub id (OWNER/NAME), and no --from says where its weights are.",
        f"Add a hub id such as {DEFAULT_ID}, `{PACKAGED}`, or a folder or .gguf file with --from.",
    )


def _kind_of_path(path: Path) -> Kind:
    if path.is_dir():
        return Kind.FOLDER
    if path.is_file() and path.suffix.lower() == ".gguf":
        return Kind.GGUF
    what = "is no folder and no .gguf file" if path.exists() else "does not exist"
    raise ModelRefused(
        "source_unknown",
        f"--from {path} {what}.",
        "Name a model's folder (config.json, .safetensors, tokenizer) or a .gguf file.",
    )


def _name_for(asked: str) -> str:
    """`Qwen/Qwen2.5-Coder-0.5B-Instruct` → `qwen2.5-coder-0.5b-instruct`."""
    return _NOT_IN_NAMES.sub("-", asked.rsplit("/", 1)[-1].lower()).strip("-._")[:64]
