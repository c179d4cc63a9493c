"""Turns a GGUF file into a folder of safetensors, tokenizer and configuration that loads in seconds.

    python -m generator_svc.language_models.local.weights.gguf_files FILE FOLDER PID

It takes several times the model's size in memory, so it is a process of its own, and ends with process PID.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from generator_svc.language_models.local.process_ties import end_with_starter
from generator_svc.language_models.local.weights.memory_errors import is_memory_error

_NAME = "model.gguf"
_SAME_MATRIX = 0.05
"""Two quantised copies of one embedding differ by less than this share of its norm."""


def convert_gguf(file: Path, folder: Path) -> None:
    """Write the model in `file` into `folder`, in bfloat16, which keeps more than any quantised file holds.

    The file is read in a folder of its own: of what lies beside it transformers would heed a configuration,
    and load an adapter. Raises what transformers raises of a file that it does not understand.
    """
    with TemporaryDirectory() as alone:
        (Path(alone) / _NAME).symlink_to(file.absolute())
        tokenizer = AutoTokenizer.from_pretrained(alone, gguf_file=_NAME, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            alone, gguf_file=_NAME, dtype=torch.bfloat16, trust_remote_code=False
        )
        _tie_embeddings(model)
        # What was quantised in the file is not any more; transformers would refuse to save it as it says.
        model.config.__dict__.pop("quantization_config", None)
        model.__dict__["hf_quantizer"] = None
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder, safe_serialization=True)


def _tie_embeddings(model: PreTrainedModel) -> None:
    """Join input and output embeddings if they are copies of one matrix; the output's are the finer ones."""
    given, spoken = model.get_input_embeddings(), model.get_output_embeddings()
    if spoken is None or given.weight is spoken.weight or given.weight.shape != spoken.weight.shape:
        return
    apart = (given.weight.float() - spoken.weight.float()).norm() / spoken.weight.float().norm()
    if apart < _SAME_MATRIX:
        given.register_parameter("weight", spoken.weight)
        model.config.tie_word_embeddings = True
        model.tie_weights()


def main() -> None:
    """Convert. What goes wrong is the last line on standard error; exit code 1, or 2 for memory."""
    file, folder, starter = sys.argv[1:]
    end_with_starter(int(starter))
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        convert_gguf(Path(file), Path(folder))
    except (MemoryError, RuntimeError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        os._exit(2 if is_memory_error(error) else 1)
    except Exception as error:  # noqa: BLE001 - the file is a stranger's; whatever it breaks is said in one line
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)


if __name__ == "__main__":
    main()
