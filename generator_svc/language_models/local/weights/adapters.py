"""LoRA adapters in a running model: put in when they are first asked for, the longest unused taken out."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import PreTrainedModel

from generator_svc.language_models.local.adapter_files import (
    WEIGHTS,
    AdapterMismatch,
    StoredAdapter,
    find_adapter,
)
from generator_svc.language_models.model_store import StoredModel

MOST_RESIDENT = 4


class Adapters:
    """The adapters of one loaded model, put into the model itself: whoever holds it need not know."""

    def __init__(self, model: PreTrainedModel, base: StoredModel, home: Path) -> None:
        self._model = model
        self._base = base
        self._home = home
        # Any: what PeftModel passes on to what it wraps has no types.
        self._tuned: Any = None
        self._names: OrderedDict[str, str] = OrderedDict()
        """What an adapter is called within the model, by id, the longest unused first."""
        self._loaded = 0

    @property
    def resident(self) -> list[str]:
        """The ids in memory, the longest unused first."""
        return list(self._names)

    def use(self, adapter: str | None) -> None:
        """Let the model speak with this adapter, or as it came. Raises AdapterUnknown, AdapterMismatch."""
        if adapter is None:
            if self._tuned is not None:
                self._tuned.base_model.disable_adapter_layers()
            return
        tuned = self._tuned if self._tuned is not None and adapter in self._names else self._load(adapter)
        self._names.move_to_end(adapter)
        tuned.base_model.enable_adapter_layers()
        tuned.set_adapter(self._names[adapter], inference_mode=True)

    def _load(self, adapter: str) -> Any:
        stored = find_adapter(self._home, adapter, self._base)
        # A module's name holds no dots.
        name = f"adapter{self._loaded}"
        self._loaded += 1
        try:
            unknown = self._put_in(name, stored)
        except torch.OutOfMemoryError:
            raise
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            self._take_out(name)
            raise AdapterMismatch(f"It cannot be loaded: {type(error).__name__}: {error}"[:400]) from error
        if unknown:
            self._take_out(name)
            raise AdapterMismatch(f"It has weights that its settings do not name: {unknown[0]}")
        self._names[adapter] = name
        if len(self._names) > MOST_RESIDENT:
            _, oldest = self._names.popitem(last=False)
            self._take_out(oldest)
        return self._tuned

    def _put_in(self, name: str, stored: StoredAdapter) -> list[str]:
        """Gives the weights for which there was no place."""
        config = LoraConfig(**stored.settings, inference_mode=True, task_type="CAUSAL_LM")
        if self._tuned is None:
            self._tuned = PeftModel(self._model, config, name)
        else:
            self._tuned.add_adapter(name, config)
        found: Any = set_peft_model_state_dict(self._tuned, load_file(stored.folder / WEIGHTS), name)
        return list(found.unexpected_keys)

    def _take_out(self, name: str) -> None:
        if self._tuned is not None and name in self._tuned.peft_config:
            self._tuned.delete_adapter(name)
