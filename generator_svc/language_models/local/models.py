"""Language models on weights of our own, as the proposers see them."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from contracts.proposals import ModelWeights
from generator_svc.language_models.local import blocked
from generator_svc.language_models.local.adapter_files import (
    AdapterMismatch,
    AdapterUnknown,
    find_adapter,
    learnt_version,
)
from generator_svc.language_models.local.desk import Call, Desk, Times
from generator_svc.language_models.local.memory import free_memory, whole_memory
from generator_svc.language_models.local.number_formats import bytes_of_a_number
from generator_svc.language_models.local.protocol import MAX_REQUESTS
from generator_svc.language_models.local.worker_process import WORKER, Bounds, WorkerProcess
from generator_svc.language_models.model_store import ModelDamaged, ModelStore, ModelUnknown, StoredModel
from generator_svc.language_models.port import ChatAnswer, ChatRequest, Sampling

_SHARE_OF_MEMORY = 0.8
_UNLOAD_SECONDS = 20.0
_LIBRARIES_BYTES = 600 * 1024 * 1024
"""What torch and transformers take before any weight is there."""


@dataclass(frozen=True)
class LocalLimits:
    """What a model's process may use. None: chosen for this machine."""

    memory_bytes: int | None = None
    threads: int | None = None
    load_seconds: float = 900.0
    call_seconds: float = 1800.0
    """For all answers of one call: what is unfinished then ends as `timeout`."""
    idle_seconds: float = 300.0
    """After so long without a call the model's memory is given back."""


class LocalModels:
    """All local models of one DELTANAS_HOME. One in each process: calls queue for one place in memory."""

    def __init__(
        self, home: Path, limits: LocalLimits | None = None, worker_command: Sequence[str] = WORKER
    ) -> None:
        limits = limits or LocalLimits()
        self._home = home
        self._store = ModelStore(home)
        self._worker_command = worker_command
        self._bounds = Bounds(
            limits.memory_bytes or int(_SHARE_OF_MEMORY * whole_memory()),
            limits.threads or len(os.sched_getaffinity(0)),
        )
        self._claimed_bytes: Callable[[], int] = lambda: 0
        self._desk = Desk(self._start, Times(limits.load_seconds, limits.call_seconds, limits.idle_seconds))

    def names(self) -> list[str]:
        """Of all models that were added, in order."""
        return self._store.names()

    def model(self, name: str, adapter: str | None = None) -> "LocalModel":
        """A model, with an adapter or as it came. Never raises: `check` says whether it is there."""
        return LocalModel(self, name, adapter)

    def learnt_version(self, adapter: str) -> str | None:
        """The version of the prompts that an adapter was trained on; None where nobody says it."""
        return learnt_version(self._home, adapter)

    def unload(self) -> bool:
        """Give the memory of a model that is loaded back, once the calls before have ended.

        Waits a little for that, and says whether it is done; if it is not, ask again.
        """
        return self._desk.unload(_UNLOAD_SECONDS)

    def leave_free(self, claimed_bytes: Callable[[], int]) -> None:
        """From now on start no model in memory that somebody else is about to take."""
        self._claimed_bytes = claimed_bytes

    def close(self) -> None:
        """End what was started, now: calls that are queued or under way are held up."""
        self._desk.close()

    def find(self, name: str, adapter: str | None) -> StoredModel:
        """The model, if by what the disk says it could answer. Raises HeldUp."""
        try:
            stored = self._store.read(name)
        except ModelUnknown as error:
            raise blocked.model_unknown(name, error.known) from error
        except ModelDamaged as error:
            raise blocked.model_not_loadable(name, str(error)) from error
        self._check_libraries(stored)
        needed = memory_needed(stored)
        if needed > self._bounds.memory_bytes and not stored.manifest.load_in_4bit:
            raise blocked.never_enough_memory(name, needed, self._bounds.memory_bytes)
        if adapter is not None:
            self._check_adapter(stored, adapter)
        return stored

    def take(self, call: Call) -> None:
        """Queue a call."""
        self._desk.take(call)

    def _start(self, model: StoredModel) -> WorkerProcess:
        needed, free, claimed = memory_needed(model), free_memory(), self._claimed_bytes()
        if needed > free - claimed:
            raise blocked.no_memory_now(model.manifest.name, needed, free, claimed)
        return WorkerProcess(model, self._bounds, self._worker_command)

    def _check_libraries(self, stored: StoredModel) -> None:
        name = stored.manifest.name
        for library in ("torch", "transformers", "peft"):
            if find_spec(library) is None:
                raise blocked.library_missing(name, library, "'deltanas[llm]'")
        if stored.manifest.load_in_4bit and find_spec("bitsandbytes") is None:
            raise blocked.library_missing(name, "bitsandbytes", "'deltanas[nf4]'")

    def _check_adapter(self, stored: StoredModel, adapter: str) -> None:
        try:
            find_adapter(self._home, adapter, stored)
        except AdapterUnknown as error:
            raise blocked.adapter_unknown(str(error)) from error
        except AdapterMismatch as error:
            raise blocked.adapter_mismatch(adapter, stored.manifest.name, str(error)) from error


class LocalModel:
    """A ChatModel on weights of our own."""

    def __init__(self, models: LocalModels, name: str, adapter: str | None) -> None:
        self._models = models
        self._name = name
        self._adapter = adapter

    def check(self) -> None:
        """Raise HeldUp if what lies on the disk cannot answer. Loads nothing."""
        self._models.find(self._name, self._adapter)

    def answers(self, requests: Sequence[ChatRequest], sampling: Sampling) -> Iterator[ChatAnswer]:
        """As the port says. Up to eight requests are written at once."""
        for first in range(0, len(requests), MAX_REQUESTS):
            yield from self._some_answers(requests[first : first + MAX_REQUESTS], sampling)

    def _some_answers(self, requests: Sequence[ChatRequest], sampling: Sampling) -> Iterator[ChatAnswer]:
        stored = self._models.find(self._name, self._adapter)
        seeds = {request.key: request.seed for request in requests}
        call = Call(stored, requests, sampling, self._adapter)
        self._models.take(call)
        for answer in call.answers():
            yield ChatAnswer(
                key=answer.key,
                text=answer.text,
                finish_reason=answer.finish_reason,
                model=stored.manifest.source,
                adapter=self._adapter,
                sampling={
                    "temperature": sampling.temperature,
                    "top_p": sampling.top_p,
                    "top_k": sampling.top_k,
                    "max_tokens": sampling.max_tokens,
                    "seed": seeds[answer.key],
                },
                prompt_tokens=answer.prompt_tokens,
                completion_tokens=answer.completion_tokens,
                cost_usd=None,
                seconds=answer.seconds,
                weights=_weights(stored, call),
            )


def _weights(stored: StoredModel, call: Call) -> ModelWeights | None:
    if call.ready is None:
        return None
    numbers = f"nf4/{call.ready.dtype}" if stored.manifest.load_in_4bit else call.ready.dtype
    return ModelWeights(stored.manifest.weights_sha256, numbers, call.ready.device)


def memory_needed(stored: StoredModel) -> int:
    """Bytes that a process with a model takes at least, libraries included."""
    manifest = stored.manifest
    loaded = bytes_of_a_number() * manifest.parameters
    return _LIBRARIES_BYTES + (manifest.weights_bytes if manifest.load_in_4bit else loaded)
