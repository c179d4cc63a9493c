"""Loads a model of the store onto the device there is, in the numbers that device is fast at."""

import gc
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from generator_svc.language_models.local.number_formats import processor_knows_bfloat16
from generator_svc.language_models.local.protocol import MAX_SENTENCE
from generator_svc.language_models.local.weights.memory_errors import is_memory_error


class NotLoadable(Exception):
    """The folder holds no model that works here."""


def choose_device() -> tuple[str, torch.dtype]:
    """CUDA in bfloat16 where there is a GPU. A CPU in bfloat16 only if it has instructions for it."""
    if torch.cuda.is_available():
        return "cuda", torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return "cpu", torch.bfloat16 if processor_knows_bfloat16() else torch.float32


def load(
    folder: Path, load_in_4bit: bool, device: str, dtype: torch.dtype
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model, ready to write, and its tokenizer. Raises NotLoadable, and what `is_memory_error` knows."""
    tokenizer = load_tokenizer(folder)
    return load_weights(folder, load_in_4bit, device, dtype), tokenizer


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The model's tokenizer. No code of the folder is run. Raises NotLoadable."""
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise _not_loadable(error) from error


def load_weights(folder: Path, load_in_4bit: bool, device: str, dtype: torch.dtype) -> PreTrainedModel:
    """The model on its device: safetensors alone, and architectures of transformers alone.

    Raises NotLoadable, and what `is_memory_error` knows.
    """
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": "sdpa"}
    if load_in_4bit:
        options["quantization_config"] = _four_bits(dtype)
        options["device_map"] = {"": device}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True, use_safetensors=True, **options
        )
    except Exception as error:  # a stranger's folder makes transformers raise all sorts
        if is_memory_error(error):
            raise
        raise _not_loadable(error) from error
    if not load_in_4bit:
        torch.nn.Module.to(model, device)
    gc.collect()
    return model.eval()


def _not_loadable(error: Exception) -> NotLoadable:
    return NotLoadable(f"{type(error).__name__}: {error}"[:MAX_SENTENCE])


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens by which the model says that it has answered."""
    named = [tokenizer.eos_token_id]
    for config in (model.generation_config, model.config):
        told = getattr(config, "eos_token_id", None)
        named += told if isinstance(told, list | tuple) else [told]
    return frozenset(int(token) for token in named if token is not None)


def _four_bits(dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
