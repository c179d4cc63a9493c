"""LoRA adapters as PEFT saves them, in `DELTANAS_HOME/adapters/<id>/`, checked against their base."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator_svc.language_models.json_files import JsonUnreadable, read_object
from generator_svc.language_models.local.safetensors_files import (
    Tensor,
    WeightsUnreadable,
    read_tensors,
    tensors_in,
)
from generator_svc.language_models.model_store import StoredModel

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

BEFORE_VERSIONS = "delta_v2"
"""What our own adapters were trained on before their manifests said so."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_PREFIX = "base_model.model."
_LORA = re.compile(r"(?P<layer>.+)\.lora_(?P<half>[AB])\.weight")
_MAX_CONFIG_BYTES = 256 * 1024
_MAX_NAMED = 3
_USED = frozenset(
    {"r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora", "rank_pattern", "alpha_pattern"}
)
_CHANGES_NOTHING = frozenset(
    {
        "peft_type",
        "task_type",
        "base_model_name_or_path",
        "inference_mode",
        "init_lora_weights",
        "peft_version",
        "revision",
        "ensure_weight_tying",
        "megatron_core",
        "qalora_group_size",
    }
)
"""Fields that say where an adapter came from, or matter only beside others that are refused."""
_IDLE: tuple[Any, ...] = (None, False, "", "none", 0, [], {})
"""Values by which every other field must say that it does nothing."""


class AdapterUnknown(Exception):
    """No adapter has this id."""


class AdapterMismatch(Exception):
    """The adapter does not belong to the model, or is of a kind that is not loaded here."""


@dataclass(frozen=True)
class StoredAdapter:
    """A LoRA adapter that fits its base. `settings` are the fields of PEFT's LoraConfig that matter."""

    folder: Path
    settings: dict[str, Any]


def find_adapter(home: Path, adapter: str, base: StoredModel) -> StoredAdapter:
    """The adapter of that id, checked. Raises AdapterUnknown, AdapterMismatch."""
    folder = home / "adapters" / adapter
    if not _ID.fullmatch(adapter) or not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise AdapterUnknown(f"No adapter is named {adapter[:80]!r}.")
    config = _read(folder / CONFIG)
    _check_base(folder, config, base)
    settings = _lora_settings(config)
    try:
        check_shapes(read_tensors(folder / WEIGHTS), tensors_in(base.folder))
    except WeightsUnreadable as error:
        raise AdapterMismatch(f"The adapter's weights cannot be read: {error}") from error
    return StoredAdapter(folder, settings)


def learnt_version(home: Path, adapter: str) -> str | None:
    """The version of the prompts that an adapter was trained on; None of one that says nothing of it."""
    manifest = home / "adapters" / adapter / "manifest.json"
    if not _ID.fullmatch(adapter) or not manifest.is_file():
        return None
    try:
        told = read_object(manifest, _MAX_CONFIG_BYTES)
    except JsonUnreadable:
        return None
    version = told.get("prompt_version", BEFORE_VERSIONS if "data_sha256" in told else None)
    return version if isinstance(version, str) else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_object(path, _MAX_CONFIG_BYTES)
    except JsonUnreadable as error:
        raise AdapterMismatch(f"{error}.") from error


def _check_base(folder: Path, config: dict[str, Any], base: StoredModel) -> None:
    """By the digest in the adapter's manifest, else by the name that PEFT wrote."""
    manifest = folder / "manifest.json"
    digest = _read(manifest).get("base_weights_sha256") if manifest.is_file() else None
    if digest:
        if digest != base.manifest.weights_sha256:
            raise AdapterMismatch("It was trained on other weights, by their SHA-256.")
        return
    named = str(config.get("base_model_name_or_path") or "")
    known = {base.manifest.name, base.manifest.source, str(base.folder)}
    if named and named not in known:
        raise AdapterMismatch(f"It was trained on {named[:120]!r}.")


def _lora_settings(config: dict[str, Any]) -> dict[str, Any]:
    """What of the configuration is used. Anything else that would do something is refused, not overlooked."""
    if config.get("peft_type") != "LORA":
        raise AdapterMismatch(
            f"It is of the kind {str(config.get('peft_type'))[:40]!r}; LoRA alone is loaded."
        )
    others = set(config) - _USED - _CHANGES_NOTHING
    active = sorted(name for name in others if config[name] not in _IDLE)
    if active:
        raise AdapterMismatch(f"It uses {', '.join(active[:_MAX_NAMED])}, which is not loaded here.")
    return {name: config[name] for name in _USED if name in config}


def check_shapes(adapter: dict[str, Tensor], base: dict[str, Tensor]) -> None:
    """Raise AdapterMismatch unless an adapter's matrices are LoRA's, and fit the layers of its base."""
    if not adapter:
        raise AdapterMismatch("It has no weights.")
    for name, tensor in adapter.items():
        found = _LORA.fullmatch(name.removeprefix(_PREFIX))
        if not found or len(tensor.shape) != 2:
            raise AdapterMismatch(f"{name[:120]!r} is not a LoRA matrix.")
        target = base.get(f"{found['layer']}.weight")
        if target is None or len(target.shape) != 2:
            raise AdapterMismatch(f"The model has no layer {found['layer'][:120]!r}.")
        size = tensor.shape[1] if found["half"] == "A" else tensor.shape[0]
        wanted = target.shape[1] if found["half"] == "A" else target.shape[0]
        if size != wanted:
            raise AdapterMismatch(
                f"{found['layer'][:120]!r} takes {wanted} numbers there, the adapter {size}."
            )
