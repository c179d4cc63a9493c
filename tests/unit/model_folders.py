"""Folders that look like a language model's, made without torch: for what is checked before any loading."""

import json
import struct
from pathlib import Path

from generator_svc.language_models.local.description import manifest_of
from generator_svc.language_models.model_store import ModelStore, StoredModel

LAYER = "model.layers.0.self_attn.q_proj"


def write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A file of zeros."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))


def write_model_folder(folder: Path, template: bool = True, readme: str = "") -> Path:
    """The files of a model of 16 × 16 numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 128}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    tokenizer = {"chat_template": "{{ messages }}"} if template else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    write_safetensors(folder / "model.safetensors", {f"{LAYER}.weight": (16, 16)})
    if readme:
        (folder / "README.md").write_text(readme)
    return folder


def add_model_folder(home: Path, name: str = "small") -> StoredModel:
    """Such a model in the store."""
    store = ModelStore(home)
    with store.building() as folder:
        write_model_folder(folder)
        return store.publish(folder, manifest_of(folder, name, f"tests/{name}", "folder"))


def write_adapter_folder(
    home: Path, adapter: str, base: StoredModel, width: int = 16, **config: object
) -> Path:
    """LoRA weights for the one layer of such a model."""
    folder = home / "adapters" / adapter
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    settings["base_model_name_or_path"] = base.manifest.name
    (folder / "adapter_config.json").write_text(json.dumps({**settings, **config}))
    prefix = f"base_model.model.{LAYER}"
    shapes = {f"{prefix}.lora_A.weight": (2, width), f"{prefix}.lora_B.weight": (16, 2)}
    write_safetensors(folder / "adapter_model.safetensors", shapes)
    return folder
