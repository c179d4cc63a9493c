"""What a guest says of its candidate: the reason, the line, the message. Imports torch, so it is slow."""

import errno
import os
import socket
from urllib.error import URLError

import pytest

pytestmark = pytest.mark.slow

import torch  # noqa: E402

from contracts.failures import FailureReason as Reason  # noqa: E402
from contracts.guest_wire import FrameKind  # noqa: E402
from contracts.names import SourceContract  # noqa: E402
from sandbox_runner.guest.answers import logits_of  # noqa: E402
from sandbox_runner.guest.candidate_loader import check_contract, load_candidate  # noqa: E402
from sandbox_runner.guest.channel import HostChannel, HostGone  # noqa: E402
from sandbox_runner.guest.failures import CandidateFailure, describe  # noqa: E402

NET = """import torch

class Net(torch.nn.Module):
    def __init__(self, {arguments}):
        super().__init__()
"""


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (ValueError("bad"), Reason.TRAIN_ERROR, "ValueError: bad"),
        (CandidateFailure(Reason.INVALID_RESULT, "shape"), Reason.INVALID_RESULT, "shape"),
        (MemoryError(), Reason.OUT_OF_MEMORY, "MemoryError"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), Reason.OUT_OF_MEMORY, "allocate"),
        (torch.OutOfMemoryError("CUDA out of memory"), Reason.OUT_OF_MEMORY, "CUDA"),
        (OSError(errno.ENOSPC, "No space left on device"), Reason.DISK_LIMIT, "space"),
        (RuntimeError("Tried https://x: <urlopen error [Errno -3]>"), Reason.TRAIN_ERROR, "no network"),
        (RuntimeError("can't start new thread"), Reason.PIDS_LIMIT, "thread"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), Reason.PIDS_LIMIT, "Resource"),
        (socket.gaierror(-3, "Temporary failure"), Reason.TRAIN_ERROR, "no network"),
        (URLError(OSError(errno.ENETUNREACH, "unreachable")), Reason.TRAIN_ERROR, "no network"),
        (SystemExit(0), Reason.TRAIN_ERROR, "must not end the process"),
        (KeyboardInterrupt(), Reason.TRAIN_ERROR, "must not end the process"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_has_its_reason(error: BaseException, reason: Reason, words: str) -> None:
    document = describe(error, Reason.TRAIN_ERROR)

    assert document["reason"] == reason
    assert words in document["message"]


def test_the_cause_of_an_error_counts() -> None:
    error = RuntimeError("cannot save")
    error.__cause__ = OSError(errno.ENOSPC, "full")

    assert describe(error, Reason.TRAIN_ERROR)["reason"] == Reason.DISK_LIMIT


def test_a_ring_of_causes_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first

    assert describe(first, Reason.BUILD_ERROR)["reason"] == Reason.BUILD_ERROR


def test_the_line_of_the_candidate_is_named() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        load_candidate("x = 1\n\ny = x / 0\n")

    assert describe(raised.value, Reason.BUILD_ERROR)["location"] == "line 3"


@pytest.mark.parametrize(
    ("contract", "arguments", "fits"),
    [
        (SourceContract.PLAIN, "in_shape, out_shape", True),
        (SourceContract.PLAIN, "*shapes, width=3", True),
        (SourceContract.PLAIN, "in_shape", False),
        (SourceContract.PLAIN, "in_shape, out_shape, *, width", False),
        (SourceContract.LEMUR, "in_shape, out_shape, prm, device", False),
    ],
)
def test_a_constructor_must_take_what_the_contract_gives(contract, arguments: str, fits: bool) -> None:
    module = load_candidate(NET.format(arguments=arguments))

    if fits:
        check_contract(module, contract)
    else:
        with pytest.raises(CandidateFailure) as raised:
            check_contract(module, contract)
        assert raised.value.reason is Reason.CONTRACT_VIOLATION


def test_halves_and_doubles_become_float32_and_all_else_is_refused() -> None:
    assert logits_of(torch.ones(2, 3, dtype=torch.float16), 2, 3).dtype == "float32"
    assert logits_of(torch.ones(2, 3, dtype=torch.float64), 2, 3).tolist() == [[1.0] * 3] * 2
    for wrong in (
        torch.ones(3, 2),
        torch.ones(2, 3, dtype=torch.int32),
        [[0.0] * 3] * 2,
        torch.nn.Parameter(torch.ones(2, 3)),
    ):
        with pytest.raises(CandidateFailure):
            logits_of(wrong, 2, 3)


def test_only_dense_tensors_are_answers_and_lazy_signs_are_resolved() -> None:
    sparse = torch.ones(2, 3).to_sparse()
    nested = torch.nested.nested_tensor([torch.ones(3), torch.ones(3)])
    for wrong in (sparse, nested, torch.ones(2, 3, device="meta")):
        with pytest.raises(CandidateFailure, match="dense"):
            logits_of(wrong, 2, 3)
    assert logits_of(torch._neg_view(torch.ones(2, 3)), 2, 3).tolist() == [[-1.0] * 3] * 2


def test_a_guest_whose_host_is_gone_notices() -> None:
    reading, host_writes = os.pipe()
    host_reads, writing = os.pipe()
    channel = HostChannel(reading, writing)
    os.write(host_writes, b"\x02\x03\0\0\0abc\x02\x09")
    assert channel.read() == (FrameKind.BATCH, b"abc")
    os.close(host_writes)
    with pytest.raises(HostGone):
        channel.read()
    os.close(host_reads)
    with pytest.raises(HostGone):
        channel.write(FrameKind.READY)
    os.close(reading)
    os.close(writing)
