"""The guest's story: import, wait, build, train, answer batches, end. `python -m sandbox_runner.guest`.

A trace ends sooner: build, trace, end.

Torch is imported before the job is read, so that a process can wait, fully imported, before any
candidate exists. The process ends with `os._exit`: nothing that a candidate registered for the end runs.
"""

import io
import os
import random
import sys
import types
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch

from contracts.failures import FailureReason
from contracts.guest_wire import FrameKind
from contracts.names import SourceContract
from sandbox_runner.guest import lemur, plain, tracing
from sandbox_runner.guest.answers import payload_of
from sandbox_runner.guest.candidate_loader import check_contract, load_candidate
from sandbox_runner.guest.channel import HostChannel, HostGone
from sandbox_runner.guest.failures import describe

_BUILDERS = {SourceContract.LEMUR: lemur.build, SourceContract.PLAIN: plain.build}
_end_process = os._exit
_Result = TypeVar("_Result")


class _Reported(BaseException):
    """A failure has been sent to the host; there is nothing more to say."""


def main() -> NoReturn:
    """Serve one attempt and exit: 0 after FINISH, 1 after a failure or when the host has gone."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    code = 1
    try:
        channel = HostChannel()
        channel.write(FrameKind.IMPORTED)
        _serve(channel, channel.read_job())
        code = 0
    except (_Reported, HostGone):
        pass
    finally:
        _flush()
        _end_process(code)


def _serve(channel: HostChannel, job: dict[str, Any]) -> None:
    contract = SourceContract(job["contract"])
    _make_deterministic(int(job["seed"]), int(job["threads"]))
    channel.write(FrameKind.READY)

    def module() -> types.ModuleType:
        loaded = load_candidate(job["source"])
        check_contract(loaded, contract)
        return loaded

    if job["trace"]:
        _trace(channel, lambda: tracing.build(module(), contract, job))
        return
    session: Any = _guarded(channel, FailureReason.BUILD_ERROR, lambda: _BUILDERS[contract](module(), job))
    channel.write(FrameKind.BUILT)
    claims = _guarded(channel, FailureReason.TRAIN_ERROR, session.train)
    channel.write_json(FrameKind.TRAINED, claims)
    _answer_batches(channel, session, tuple(job["data"]["shape"]), int(job["data"]["classes"]))


def _trace(channel: HostChannel, build: Callable[[], tracing.Traceable]) -> None:
    built = _guarded(channel, FailureReason.BUILD_ERROR, build)
    channel.write(FrameKind.BUILT)
    told = _guarded(channel, FailureReason.TRAIN_ERROR, lambda: tracing.answer(lambda: tracing.trace(built)))
    channel.write_json(FrameKind.TRACED, told)
    channel.read()


def _answer_batches(channel: HostChannel, session: Any, shape: tuple[int, ...], classes: int) -> None:
    while True:
        kind, pixels = channel.read()
        if kind != FrameKind.BATCH:
            return
        images = np.frombuffer(pixels, dtype=np.uint8).reshape(-1, *shape)

        def answer(images: "np.ndarray[Any, Any]" = images) -> bytes:
            return payload_of(session.predict(images), len(images), classes)

        channel.write(FrameKind.LOGITS, _guarded(channel, FailureReason.PREDICT_ERROR, answer))


def _guarded(channel: HostChannel, reason: FailureReason, step: Callable[[], _Result]) -> _Result:
    """Run one step of the candidate; whatever leaves it, SystemExit included, is a failure."""
    try:
        return step()
    except HostGone:
        raise
    except BaseException as error:  # noqa: BLE001 - no exception of a candidate may end the guest quietly
        channel.write_json(FrameKind.FAILED, describe(error, reason))
        raise _Reported from None


def _make_deterministic(seed: int, threads: int) -> None:
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # noqa: BLE001, S112 - the candidate may have closed or replaced it
            continue


if __name__ == "__main__":
    main()
