"""Loads a base model and puts LoRA weights on it: fresh ones, or those of the parent adapter."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from contracts.fine_tuning import FineTuneSettings, Precision, Quantization
from generator_svc.fine_tuning.adapters import WEIGHTS
from generator_svc.fine_tuning.trainer.failing import TrainingFailed
from generator_svc.fine_tuning.trainer.model_folder import public_name
from generator_svc.language_models.local.adapter_files import AdapterMismatch, StoredAdapter, check_shapes
from generator_svc.language_models.local.safetensors_files import Tensor, WeightsUnreadable, tensors_in
from generator_svc.language_models.local.weights import loading
from generator_svc.language_models.model_store import StoredModel

LORA = "CAUSAL_LM"


@dataclass(frozen=True)
class Loaded:
    """A model with LoRA weights that learn, everything else frozen."""

    model: PeftModel
    base: PreTrainedModel
    """The same, seen without PEFT."""
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    computes_in: torch.dtype
    numbers: "BaseNumbers"


@dataclass(frozen=True)
class BaseNumbers:
    """What the base's weights stand in, `nf4`, `bf16` or `fp32`, and why where that may surprise."""

    name: str
    why: str = ""


def load_tokenizer(stored: StoredModel) -> PreTrainedTokenizerBase:
    """The model's tokenizer. Raises TrainingFailed."""
    try:
        tokenizer = loading.load_tokenizer(stored.folder)
    except loading.NotLoadable as error:
        raise _not_loadable(stored, error) from error
    if tokenizer.eos_token_id is None:
        raise TrainingFailed(
            "model_not_loadable",
            f"The tokenizer of {stored.manifest.name!r} has no token that ends a turn.",
            "Choose a model whose tokenizer has an `eos_token`.",
        )
    return tokenizer


def load_model(
    stored: StoredModel, tokenizer: PreTrainedTokenizerBase, settings: FineTuneSettings, save_memory: bool
) -> Loaded:
    """The model on its device, with fresh LoRA weights drawn from the seed.

    Raises TrainingFailed, and what `is_memory_error` knows.
    """
    device, fast = loading.choose_device()
    dtype = _dtype(settings.precision, fast)
    numbers = base_numbers(settings.quantization, device, dtype)
    try:
        base = loading.load_weights(stored.folder, numbers.name == Quantization.NF4, device, dtype)
    except loading.NotLoadable as error:
        raise _not_loadable(stored, error) from error
    base.config.use_cache = False
    if save_memory:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    _check_targets(base, stored, settings)
    torch.manual_seed(settings.seed)
    model = get_peft_model(base, lora_config(stored, settings))
    _check_use(model, stored)
    if dtype is torch.bfloat16:
        _leave_inputs_to_autocast(model)
    return Loaded(model, base, tokenizer, torch.device(device), dtype, numbers)


def base_numbers(asked: Quantization, device: str, dtype: torch.dtype) -> BaseNumbers:
    """What the base is loaded in. Raises TrainingFailed where nf4 is asked for and cannot be had."""
    plain = "bf16" if dtype is torch.bfloat16 else "fp32"
    if asked is Quantization.NONE:
        return BaseNumbers(plain)
    is_there = find_spec("bitsandbytes") is not None
    if asked is Quantization.NF4 and not is_there:
        raise TrainingFailed(
            "libraries_missing",
            "`quantization` is `nf4`, and bitsandbytes, which does it, is not installed.",
            f"`pip install 'deltanas[nf4]'`, or set `quantization` to `auto` or `none` to train in {plain}.",
        )
    if asked is Quantization.AUTO and (device == "cpu" or not is_there):
        missing = "bitsandbytes is not installed" if not is_there else "there is no GPU"
        return BaseNumbers(plain, f"{missing}, so the base is loaded in {plain} and not in nf4")
    return BaseNumbers(Quantization.NF4.value)


def _leave_inputs_to_autocast(model: PeftModel) -> None:
    """PEFT would keep a float32 copy of every adapted layer's input until the backward pass."""
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False  # type: ignore[assignment] # torch knows no flags


def lora_config(stored: StoredModel, settings: FineTuneSettings) -> LoraConfig:
    """PEFT's description of the adapter."""
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets),
        bias="none",
        task_type=LORA,
        base_model_name_or_path=public_name(stored),
    )


def take_parent(loaded: Loaded, parent: StoredAdapter, settings: FineTuneSettings) -> None:
    """Put the parent adapter's weights in the place of the fresh ones. Raises TrainingFailed."""
    asked: dict[str, Any] = {
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "target_modules": sorted(settings.targets),
    }
    targets = parent.settings.get("target_modules") or ()
    given = {**parent.settings, "target_modules": sorted(targets)}
    for name, value in asked.items():
        if given.get(name) != value:
            raise parent_mismatch(
                parent.folder.name, f"Its {name} is {given.get(name)}, the job's is {value}."
            )
    try:
        weights = load_file(parent.folder / WEIGHTS)
    except Exception as error:
        raise parent_mismatch(parent.folder.name, f"Its weights cannot be read: {error}"[:300]) from error
    expected = {
        name: tensor.shape
        for name, tensor in get_peft_model_state_dict(loaded.model, save_embedding_layers=False).items()
    }
    if {name: tensor.shape for name, tensor in weights.items()} != expected:
        raise parent_mismatch(parent.folder.name, "Its weights are of other layers than the model's.")
    set_peft_model_state_dict(loaded.model, weights)


def parent_mismatch(adapter: str, why: str) -> TrainingFailed:
    """The failure of a job whose parent is none for it."""
    return TrainingFailed(
        "adapter_mismatch",
        f"Training cannot go on from the adapter {adapter!r}: {why}",
        "Leave `rank`, `alpha` and `targets` out to take the parent's, name the model that it was trained "
        "on, or start without a parent.",
    )


def _dtype(precision: Precision, fast: torch.dtype) -> torch.dtype:
    """Never float16: its small gradients are zero."""
    if precision is Precision.AUTO:
        return torch.bfloat16 if fast is torch.bfloat16 else torch.float32
    return torch.bfloat16 if precision is Precision.BF16 else torch.float32


def _check_targets(base: PreTrainedModel, stored: StoredModel, settings: FineTuneSettings) -> None:
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
            f"The model {stored.manifest.name!r} has no linear layers named {', '.join(missing)}.",
            f"Set `targets` to some of: {', '.join(known)[:300]}.",
        )


def _check_use(model: PeftModel, stored: StoredModel) -> None:
    """Raise TrainingFailed where the adapter would be one that no proposer loads."""
    weights = get_peft_model_state_dict(model, save_embedding_layers=False)
    shapes = {name: Tensor("F32", tuple(tensor.shape)) for name, tensor in weights.items()}
    try:
        check_shapes(shapes, tensors_in(stored.folder))
    except (AdapterMismatch, WeightsUnreadable) as error:
        raise TrainingFailed(
            "adapter_mismatch",
            f"An adapter with these `targets` could not be used with {stored.manifest.name!r}: {error}",
            "Leave `targets` out, or name linear layers that have weights of their own in the model's files.",
        ) from error


def _not_loadable(stored: StoredModel, error: Exception) -> TrainingFailed:
    return TrainingFailed(
        "model_not_loadable",
        f"The model {stored.manifest.name!r} could not be loaded: {str(error)[:300]}",
        "Add the model again; trainer.log in the job's folder has more.",
    )
