"""Publishes an adapter: weights and configuration as PEFT and vLLM load them, and where they come from."""

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from peft import get_peft_model_state_dict
from safetensors.torch import save

from contracts.fine_tuning import AdapterFile, AdapterManifest, FineTuneResult
from generator_svc.fine_tuning.adapters import CONFIG, MANIFEST, WEIGHTS, AdapterStore
from generator_svc.fine_tuning.durable_files import write_folder
from generator_svc.fine_tuning.job_folder import JobRecord
from generator_svc.fine_tuning.journal import now
from generator_svc.fine_tuning.trainer.base_model import Loaded, lora_config
from generator_svc.fine_tuning.trainer.material import Material
from generator_svc.language_models.model_store import StoredModel

PACKAGES = ("deltanas", "torch", "transformers", "peft", "safetensors", "tokenizers", "bitsandbytes")


def publish(
    store: AdapterStore,
    loaded: Loaded,
    base: StoredModel,
    record: JobRecord,
    material: Material,
    result: FineTuneResult,
    steps: int,
    trained_tokens: int,
) -> None:
    """Put the adapter, as the model has it now, into the store. Raises OSError."""
    weights = {
        name: tensor.detach().float().cpu().contiguous()
        for name, tensor in get_peft_model_state_dict(loaded.model, save_embedding_layers=False).items()
    }
    contents = {
        WEIGHTS: save(weights, metadata={"format": "pt"}),
        CONFIG: _configuration(base, record),
    }
    manifest = AdapterManifest(
        id=record.id,
        base_model=base.manifest.name,
        base_source=base.manifest.source,
        base_weights_sha256=base.manifest.weights_sha256,
        parent_adapter=record.settings.parent_adapter,
        data_sha256=record.data_sha256,
        settings=record.settings,
        chats=material.counts,
        result=result,
        steps=steps,
        trained_tokens=trained_tokens,
        versions=_versions(),
        created_at=now(),
        files=tuple(
            AdapterFile(name, len(content), hashlib.sha256(content).hexdigest())
            for name, content in sorted(contents.items())
        ),
        prompt_version=material.prompt_version,
        base_loaded_in=loaded.numbers.name,
    )
    contents[MANIFEST] = json.dumps(asdict(manifest), indent=1).encode()

    def fill(draft: Path) -> None:
        for name, content in contents.items():
            (draft / name).write_bytes(content)

    store.folder.mkdir(mode=0o700, exist_ok=True)
    write_folder(store.folder / record.id, fill)


def _configuration(base: StoredModel, record: JobRecord) -> bytes:
    configuration = lora_config(base, record.settings).to_dict() | {"inference_mode": True}
    return json.dumps(configuration, indent=1, sort_keys=True, default=sorted).encode()


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a checkout that was never installed
            continue
    return found
