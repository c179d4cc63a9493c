"""Makes a module out of a candidate's source and checks its `Net` against the architecture contract.

Building and training the network belong to `plain` and `lemur`.
"""

import inspect
import linecache
import sys
from types import ModuleType
from typing import Any

import torch

from contracts.failures import FailureReason
from contracts.names import SourceContract
from sandbox_runner.guest.failures import CANDIDATE_FILE, CandidateFailure

MODULE_NAME = "candidate"

_CONSTRUCTORS = {
    SourceContract.PLAIN: ("Net(in_shape, out_shape)", 2),
    SourceContract.LEMUR: ("Net(in_shape, out_shape, prm, device)", 4),
}
_LEMUR_METHODS = ("train_setup", "learn")


def load_candidate(source: str) -> ModuleType:
    """Run the source as the module `candidate`. Whatever its code raises passes through."""
    lines = source.splitlines(keepends=True)
    # A missing modification time keeps linecache from looking for a file of that name.
    linecache.cache[CANDIDATE_FILE] = (len(source), None, lines, CANDIDATE_FILE)
    code = compile(source, CANDIDATE_FILE, "exec", dont_inherit=True)
    module = ModuleType(MODULE_NAME)
    module.__file__ = CANDIDATE_FILE
    sys.modules[MODULE_NAME] = module
    exec(code, module.__dict__)  # noqa: S102 - running the candidate is what a guest is for
    return module


def check_contract(module: ModuleType, contract: SourceContract) -> None:
    """See that `Net` is there and can be called as the contract says. Raises CandidateFailure."""
    network = getattr(module, "Net", None)
    if not inspect.isclass(network) or not issubclass(network, torch.nn.Module):
        raise CandidateFailure(
            FailureReason.CONTRACT_VIOLATION, "`Net` must be a class that derives from torch.nn.Module"
        )
    _check_constructor(network, contract)
    if contract is SourceContract.LEMUR:
        _check_lemur(module, network)


def _check_constructor(network: type, contract: SourceContract) -> None:
    wanted, arguments = _CONSTRUCTORS[contract]
    try:
        inspect.signature(network).bind(*[None] * arguments)
    except TypeError as error:
        raise CandidateFailure(
            FailureReason.CONTRACT_VIOLATION, f"`Net` must be constructible as {wanted}: {error}"
        ) from None
    except ValueError:
        return  # No signature to read (a class made in C): constructing it will tell.


def _check_lemur(module: ModuleType, network: Any) -> None:
    missing = [name for name in _LEMUR_METHODS if not callable(getattr(network, name, None))]
    if not callable(getattr(module, "supported_hyperparameters", None)):
        missing.append("supported_hyperparameters")
    if missing:
        raise CandidateFailure(
            FailureReason.CONTRACT_VIOLATION,
            f"a source whose `Net` defines `learn` also needs {', '.join(missing)}",
        )
