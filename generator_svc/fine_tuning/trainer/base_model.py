"""Loads a base model and puts LoRA weights on it: fresh ones, or those of the parent adapter."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from contracts.fine_tuning import FineTuneSettings, Precision
from generator_svc.fine_tuning.adapters import CONFIG, WEIGHTS
from generator_svc.fine_tuning.trainer.failing import TrainingFailed
from generator_svc.fine_tuning.trainer.memory import is_memory_error
from generator_svc.fine_tuning.trainer.model_folder import ModelFolder

LORA = "CAUSAL_LM"


@dataclass(frozen=True)
class Loaded:
    """A model with LoRA weights that learn, everything else frozen."""

    model: PeftModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    computes_in: torch.dtype


def load_tokenizer(folder: ModelFolder) -> PreTrainedTokenizerBase:
    """The model's tokenizer. Raises TrainingFailed."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # a damaged folder makes transformers raise all sorts
        raise _not_loadable(folder, error) from error
    if tokenizer.eos_token_id is None:
        raise TrainingFailed(
            "model_not_loadable",
            f"The tokenizer of {folder.name!r} has no token that ends a turn.",
            "Choose a model whose tokenizer has an `eos_token`.",
        )
    return tokenizer


def load_model(
    folder: ModelFolder, tokenizer: PreTrainedTokenizerBase, settings: FineTuneSettings, save_memory: bool
) -> Loaded:
    """The model on its device, with fresh LoRA weights drawn from the seed. Raises TrainingFailed."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = _dtype(settings.precision, device)
    try:
        base = AutoModelForCausalLM.from_pretrained(
            folder.path, dtype=dtype, local_files_only=True, trust_remote_code=False, device_map=device
        )
    except Exception as error:
        if is_memory_error(error):
            raise
        raise _not_loadable(folder, error) from error
    base.config.use_cache = False
    if save_memory:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    _check_targets(base, folder, settings)
    torch.manual_seed(settings.seed)
    model = get_peft_model(base, lora_config(folder, settings))
    if dtype is torch.bfloat16:
        _leave_inputs_to_autocast(model)
    return Loaded(model, tokenizer, device, dtype)


def _leave_inputs_to_autocast(model: PeftModel) -> None:
    """PEFT would keep a float32 copy of every adapted layer's input until the backward pass."""
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False  # type: ignore[assignment] # torch knows no flags


def lora_config(folder: ModelFolder, settings: FineTuneSettings) -> LoraConfig:
    """PEFT's description of the adapter."""
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets),
        bias="none",
        task_type=LORA,
        base_model_name_or_path=folder.public_name,
    )


def take_parent(loaded: Loaded, parent: Path, settings: FineTuneSettings) -> None:
    """Put the parent adapter's weights in the place of the fresh ones. Raises TrainingFailed."""
    config = json.loads((parent / CONFIG).read_bytes())
    asked: dict[str, Any] = {
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "target_modules": sorted(settings.targets),
    }
    given = {**config, "target_modules": sorted(config.get("target_modules") or ())}
    for name, value in asked.items():
        if given.get(name) != value:
            raise _mismatch(parent, f"its {name} is {given.get(name)}, the job's is {value}")
    weights = load_file(parent / WEIGHTS)
    expected = {name: tensor.shape for name, tensor in get_peft_model_state_dict(loaded.model).items()}
    if {name: tensor.shape for name, tensor in weights.items()} != expected:
        raise _mismatch(parent, "its weights are of other layers than the model's")
    set_peft_model_state_dict(loaded.model, weights)


def _mismatch(parent: Path, message: str) -> TrainingFailed:
    return TrainingFailed(
        "adapter_mismatch",
        f"Training cannot go on from the adapter {parent.name!r}: {message}.",
        "Leave `rank`, `alpha` and `targets` out to take the parent's, or start without a parent.",
    )


def _dtype(precision: Precision, device: torch.device) -> torch.dtype:
    if precision is not Precision.AUTO:
        return torch.bfloat16 if precision is Precision.BF16 else torch.float32
    if device.type == "cuda":
        is_fast = torch.cuda.is_bf16_supported()
    else:
        is_fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if is_fast else torch.float32


def _check_targets(base: PreTrainedModel, folder: ModelFolder, settings: FineTuneSettings) -> None:
    layers = [name for name, module in base.named_modules() if isinstance(module, torch.nn.Linear)]
    missing = [
        target
        for target in settings.targets
        if not any(name == target or name.endswith(f".{target}") for name in layers)
    ]
    if missing:
        known = sorted({name.rpartition(".")[2] for name in layers})
        raise TrainingFailed(
            "adapter_mismatch",
            f"The model {folder.name!r} has no linear layers named {', '.join(missing)}.",
            f"Set `targets` to some of: {', '.join(known)[:300]}.",
        )


def _not_loadable(folder: ModelFolder, error: Exception) -> TrainingFailed:
    return TrainingFailed(
        "model_not_loadable",
        f"The model {folder.name!r} could not be loaded: {str(error)[:300]}",
        "Add the model again; trainer.log in the job's folder has more.",
    )
