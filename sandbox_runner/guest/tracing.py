"""Finds out what a network's `forward` computes, with tensors that have shapes and no numbers.

The network is built and run once, in training mode, on fake tensors (torch's meta tensors that know which
device they stand for), so that the largest network costs little. What needs a number while it is built
(`.item()`) is built for real; what needs one in `forward` cannot be traced, and the answer says why. All of
this happens beside the candidate's code: a graph is its word, whatever it was made by.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from contracts.computation_graph import INPUT, PARAMETER, GraphMalformed, graph_from, graph_text
from contracts.failures import FailureReason
from contracts.names import SourceContract
from sandbox_runner.guest import lemur, plain
from sandbox_runner.guest.failures import CandidateFailure, describe
from sandbox_runner.guest.recording import GraphTooLarge, Recorder

MAX_OUTPUT_DEPTH = 8
MAX_OUTPUTS = 64
_ARGUMENTS = {SourceContract.LEMUR: lemur.arguments, SourceContract.PLAIN: plain.arguments}


@dataclass(frozen=True)
class Traceable:
    """A network that is built, and what has been noted of how its buffers came about."""

    network: Any
    recorder: Recorder
    fake: FakeTensorMode
    in_shape: tuple[int, ...]


def build(module: ModuleType, contract: SourceContract, job: dict[str, Any]) -> Traceable:
    """Construct `Net` without numbers, or with them if it needs them. Raises what the source raises."""
    arguments = _ARGUMENTS[contract](module, job)
    in_shape = arguments[0]
    # Constants that the source makes of numbers it has (numpy's, say) are real, and may be.
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        recorder = Recorder()
        with torch.no_grad(), fake, recorder:
            return Traceable(module.Net(*arguments), recorder, fake, in_shape)
    except (CandidateFailure, GraphTooLarge):
        raise
    except Exception:  # noqa: BLE001 - whether it is the tensors' fault or the source's shows without them
        torch.manual_seed(int(job["seed"]))
    recorder = Recorder()
    with torch.no_grad(), recorder:
        return Traceable(module.Net(*arguments), recorder, fake, in_shape)


def trace(built: Traceable) -> str:
    """Run `forward` on one batch; the graph as text.

    Raises GraphTooLarge, GraphMalformed, CandidateFailure (invalid_result), and what `forward` raises.
    Parameters are leaves, however they were drawn; buffers are what they were computed by.
    """
    built.network.train()
    for parameter in built.network.parameters():
        built.recorder.set_leaf(PARAMETER, parameter)
    with torch.no_grad(), built.fake, built.recorder:
        images = torch.empty(built.in_shape)
        built.recorder.set_leaf(INPUT, images)
        returned = built.network(images)
    outputs = list(_outputs(returned, MAX_OUTPUT_DEPTH))
    if not outputs:
        raise CandidateFailure(
            FailureReason.INVALID_RESULT,
            f"`forward` returned a {type(returned).__name__} without a tensor; it must return a torch.Tensor",
        )
    if len(outputs) > MAX_OUTPUTS:
        raise GraphTooLarge(f"`forward` returned more than {MAX_OUTPUTS} tensors")
    text = graph_text(built.recorder.graph(outputs))
    graph_from(text)
    return text


def answer(step: Callable[[], str]) -> dict[str, str]:
    """The payload of a TRACED frame: `graph`, or why there is none. Raises what is the candidate's own fault.

    Errors of a traced `forward` may be those of the tensors that it was given: they count against nobody.
    """
    try:
        return {"graph": step()}
    except (GraphTooLarge, GraphMalformed) as error:
        return {"not_traceable": str(error)}
    except Exception as error:
        told = describe(error, FailureReason.TRAIN_ERROR)
        if told["reason"] != FailureReason.TRAIN_ERROR:
            raise
        where = f"{told['location']}: " if told["location"] else ""
        return {"not_traceable": where + told["message"]}


def _outputs(returned: object, depth: int) -> Iterator[torch.Tensor]:
    """The tensors of an answer, in the order in which they stand there; dictionaries by their keys."""
    if isinstance(returned, torch.Tensor):
        yield returned
    elif depth and isinstance(returned, list | tuple):
        for one in returned:
            yield from _outputs(one, depth - 1)
    elif depth and isinstance(returned, dict):
        for key in sorted(returned, key=str):
            yield from _outputs(returned[key], depth - 1)
