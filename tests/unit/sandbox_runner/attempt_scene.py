"""What tests of attempts share: a tiny dataset, a spec, guests that keep to the protocol, and one GPU."""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import numpy as np
from fakes import ScriptedSandbox
from sample_attempts import make_attempt

from contracts.failures import FailureReason
from contracts.guest_wire import FrameKind
from contracts.jobs import AttemptOutcome, AttemptSpec
from sandbox_runner.datasets.library import Library
from sandbox_runner.datasets.pack import write_pack
from sandbox_runner.datasets.raw import ImageSet, RawDataset
from sandbox_runner.gpus import Gpus

CLASSES = 3
EVALUATION_IMAGES = 300
SOURCE = "import torch\nclass Net(torch.nn.Module):\n    pass\n"

Logits = Callable[[np.ndarray], np.ndarray]


def make_library(home: Path) -> Library:
    """A library with one dataset, `stripes`: every pixel of an image is its label."""

    def part(count: int) -> ImageSet:
        labels = np.arange(count) % CLASSES
        images = np.broadcast_to(labels[:, None, None, None], (count, 1, 2, 2)).astype(np.uint8)
        return ImageSet.from_arrays(images, labels)

    folder = home / "datasets" / "stripes"
    folder.parent.mkdir(parents=True)
    raw = RawDataset((1, 2, 2), ("a", "b", "c"), part(30), part(EVALUATION_IMAGES), "made by the test")
    write_pack(folder, "stripes", raw)
    return Library(home)


def make_spec(**changes) -> AttemptSpec:
    """An attempt on the stripes."""
    return make_attempt(
        **{"source": SOURCE, "dataset": "stripes", "epochs": 1, "seed": 5, "hyperparameters": {}, **changes}
    )


def right_answers(images: np.ndarray) -> np.ndarray:
    return np.eye(CLASSES, dtype="<f4")[images[:, 0, 0, 0]]


def trained(guest: ScriptedSandbox, claims: bytes = b'{"train_seconds": 1.5, "parameters": 7}') -> None:
    """The guest's part until its training is closed."""
    guest.hear()
    guest.say(FrameKind.READY)
    guest.say(FrameKind.BUILT)
    guest.say(FrameKind.TRAINED, claims)


def honest(guest: ScriptedSandbox, logits: Logits = right_answers) -> None:
    """A whole guest that behaves."""
    trained(guest)
    while True:
        kind, pixels = guest.hear()
        if kind == FrameKind.FINISH:
            guest.leave(0)
            return
        images = np.frombuffer(pixels, np.uint8).reshape(-1, 1, 2, 2)
        guest.say(FrameKind.LOGITS, logits(images).tobytes())


def header(kind: int, length: int) -> bytes:
    return struct.pack("<BI", kind, length)


def reason_of(outcome: AttemptOutcome) -> FailureReason:
    """Of an attempt that must have failed."""
    assert outcome.measurement is None
    assert outcome.failure is not None
    return outcome.failure.reason


class OneGpu(Gpus):
    """Lends a GPU that answers, or does not answer any more, once `wait` has been called."""

    def __init__(self, answers: bool = True, wait: Callable[[], None] = lambda: None) -> None:
        self._answers = answers
        self._wait = wait

    @contextmanager
    def lend(self, device: str, cancelled: Event, at_least_bytes: int = 0) -> Iterator[SimpleNamespace]:
        self._wait()
        yield SimpleNamespace(uuid="GPU-a", used_bytes=lambda: 0, answers=lambda: self._answers)
