"""The life of a model's process: load, then answer one call after another."""

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from transformers.utils import logging

from generator_svc.language_models.local.adapter_files import AdapterMismatch, AdapterUnknown
from generator_svc.language_models.local.protocol import (
    MAX_SENTENCE,
    Answered,
    Ended,
    Failed,
    Ready,
    event_line,
)
from generator_svc.language_models.local.weights.adapters import Adapters
from generator_svc.language_models.local.weights.conversations import Conversations, TemplateRefused
from generator_svc.language_models.local.weights.decoding import Bounds, Task, Writer, Written
from generator_svc.language_models.local.weights.inbox import Inbox
from generator_svc.language_models.local.weights.loading import NotLoadable, choose_device, end_tokens, load
from generator_svc.language_models.local.weights.memory_errors import is_memory_error
from generator_svc.language_models.local.weights.sampling import Choice
from generator_svc.language_models.model_store import ModelDamaged, ModelStore, ModelUnknown, StoredModel
from generator_svc.language_models.port import MAX_ANSWER_BYTES

Json = dict[str, Any]


def serve(folder: Path, inbox: Inbox, out: IO[bytes]) -> None:
    """Load the model and answer, until the process is ended from outside or the model is of no more use."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    with contextlib.ExitStack() as leaving:
        leaving.callback(out.close)
        try:
            speaker = _Speaker(ModelStore(folder.parents[1]).read(folder.name), folder.parents[1])
        except (NotLoadable, ModelUnknown, ModelDamaged) as error:
            out.write(event_line(Failed("model_not_loadable", str(error)[:MAX_SENTENCE], lasting=True)))
            return
        except Exception as error:  # noqa: BLE001 - whatever the libraries raise is told, not died of
            out.write(event_line(_accident(error)))
            return
        out.write(event_line(Ready(speaker.device, speaker.dtype)))
        while True:
            call = inbox.next_call()
            failed = speaker.answer(call, inbox, out)
            out.write(event_line(failed or Ended(call["call"])))
            inbox.forget(call["call"])
            if failed and failed.lasting:
                return


class _Speaker:
    """A loaded model with all that it takes to hold a conversation."""

    def __init__(self, stored: StoredModel, home: Path) -> None:
        self.device, dtype = choose_device()
        self.dtype = str(dtype).removeprefix("torch.")
        model, tokenizer = load(stored.folder, stored.manifest.load_in_4bit, self.device, dtype)
        self._context_length = stored.manifest.context_length
        self._adapters = Adapters(model, stored, home)
        self._conversations = Conversations(tokenizer)
        self._writer = Writer(model, self._conversations.text, end_tokens(model, tokenizer))
        self._has_written = False

    def answer(self, call: Json, inbox: Inbox, out: IO[bytes]) -> Failed | None:
        """Write all answers of a call; give why that cannot be done, if so."""
        number, late = call["call"], time.monotonic() + call["seconds"]

        def over() -> bool:
            return time.monotonic() > late or inbox.is_cancelled(number)

        try:
            self._adapters.use(call["adapter"])
            tasks = [
                Task(request["key"], self._conversations.tokens(request["messages"]), request["seed"])
                for request in call["requests"]
            ]
            choice = Choice(call["temperature"], call["top_p"], call["top_k"])
            bounds = Bounds(call["max_tokens"], MAX_ANSWER_BYTES, self._context_length, over)
            for written in self._written(tasks, choice, bounds):
                out.write(event_line(Answered(call=number, **vars(written))))
        except (AdapterUnknown, AdapterMismatch) as error:
            return Failed("adapter_mismatch", str(error)[:MAX_SENTENCE], lasting=False)
        except TemplateRefused as error:
            why = f"its chat template refuses the conversation: {error}"
            return Failed("model_not_loadable", why[:MAX_SENTENCE], lasting=False)
        except Exception as error:  # noqa: BLE001 - whatever the libraries raise is told, not died of
            return _accident(error)
        return None

    def _written(self, tasks: Sequence[Task], choice: Choice, bounds: Bounds) -> Iterator[Written]:
        """Every task's answer. One that breaks the libraries costs itself alone: `generation_failed`.

        Raises what they raise where nothing was ever written: then it is the model that is broken.
        """
        left = {task.key: task for task in tasks}
        failed: list[tuple[Task, Exception]] = []
        for batch in (list(tasks), *([task] for task in tasks)):
            wanted = [task for task in batch if task.key in left]
            try:
                for written in self._writer.write(wanted, choice, bounds):
                    del left[written.key]
                    self._has_written = True
                    yield written
            except Exception as error:
                if self._is_unsafe_after(error):
                    raise
                if len(wanted) == 1:
                    failed.append((left.pop(wanted[0].key), error))
        for task, why in failed:
            if not self._has_written:
                raise why
            _log_place(why)
            yield Written(task.key, "", "generation_failed", len(task.prompt), 0, 0.0)

    def _is_unsafe_after(self, error: Exception) -> bool:
        """Whether the process is of no more use: its memory ran out, or a GPU's context may be broken."""
        return is_memory_error(error) or (self.device != "cpu" and isinstance(error, RuntimeError))


def _log_place(error: Exception) -> None:
    """What was raised, and where: not its words, which may quote a prompt."""
    where = "".join(traceback.format_tb(error.__traceback__)[-3:])
    print(f"an answer failed: {type(error).__name__}\n{where}", file=sys.stderr, flush=True)


def _accident(error: Exception) -> Failed:
    """Memory that ran out, or a fault of the libraries; after either the process is not to be trusted."""
    said = f"{type(error).__name__}: {error}"
    code = "out_of_memory" if is_memory_error(error) else "model_failed"
    return Failed(code, said[:MAX_SENTENCE], lasting=True)
