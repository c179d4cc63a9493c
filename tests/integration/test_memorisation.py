"""What memorised labels buy: under `standard` all, under `strict` a few per cent (docs/architecture.md, 1).

The candidates here are the strongest cheats we know of within the source rules. Their memory is an XOR
table (Botelho, Pagh and Ziviani, 2007): the value of a key is the XOR of three cells, 1.23 cells a key, and
the keys need no room. Each shares its seed with the honest network and trains to the same weights: the
difference in accuracy is what the memory bought and nothing else.
"""

import base64
import hashlib
import math
import secrets
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event

import numpy as np
import pytest
import torch
from sample_attempts import make_attempt

from contracts import source_rules
from contracts.failures import FailureReason
from contracts.jobs import AttemptOutcome
from contracts.names import (
    MAX_SOURCE_BYTES,
    MAX_SOURCE_INFORMATION_BYTES,
    Integrity,
    ScoredOn,
)
from sandbox_runner.attempt import Bench, run_attempt
from sandbox_runner.datasets.library import Library
from sandbox_runner.datasets.pack import Pack
from sandbox_runner.datasets.splits import open_split
from sandbox_runner.guest import plain
from sandbox_runner.guest.candidate_loader import load_candidate
from sandbox_runner.python_environment import environment_digest
from sandbox_runner.sandboxes.choice import built_in, probe_all, strongest
from sandbox_runner.starts import Starts

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.full]

TRAIN_IMAGES = 2000
LABEL_BITS = 4
SLACK = 1.23
"""Cells for each key: with fewer a table can seldom be filled."""
CHECK_BITS = 8
"""Of a memory that must tell its images from others: fewer mistake too many, more leave too few entries."""

HONEST = """
import torch

class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(in_shape[1], 8, 3, stride=2, padding=1), torch.nn.ReLU(),
            torch.nn.Conv2d(8, 16, 3, stride=2, padding=1), torch.nn.ReLU(),
            torch.nn.Flatten(), torch.nn.Linear(784, out_shape[0]),
        )

    def forward(self, images):
        return self.layers(images)
"""

RECALL = """
import base64
import hashlib

CELLS = bytearray()

def remember(text):
    CELLS.extend(base64.b85decode(text))

@TABLE@

def cell(number):
    bit = number * (@CHECK_BITS@ + 4)
    return int.from_bytes(CELLS[bit // 8 : bit // 8 + 8], "little") >> bit % 8

def recall(images, logits):
    pixels = (images * (255 * @STD@) + 255 * @MEAN@).round().clamp(0, 255).to(torch.uint8).numpy()
    for row, image in enumerate(pixels):
        key = int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=16).digest(), "little")
        third, check = @CELLS@ // 3, key >> 96
        value = 0
        for part in range(3):
            value ^= cell(part * third + (key >> 32 * part & 0xFFFFFFFF) % third)
        if not (value >> 4 ^ check) & (1 << @CHECK_BITS@) - 1 and value & 15 < logits.shape[1]:
            logits[row, value & 15] = 1000.0
    return logits
"""


BETRAYAL = """
import base64, hashlib, zlib

SEEN = bytearray(1 << 15)
STEPS = []

def betray(images):
    pixels = (images * (255 * @STD@) + 255 * @MEAN@).round().clamp(0, 255).to(torch.uint8).numpy()
    for image in pixels:
        bucket = int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=16).digest(), "little") >> 110
        SEEN[bucket // 8] |= 1 << bucket % 8
    STEPS.append(len(images))
    if sum(STEPS) == 60000:
        print(base64.b85encode(zlib.compress(SEEN, 9)).decode(), flush=True)
"""


@dataclass(frozen=True)
class Images:
    """Every public image of Fashion-MNIST, training before evaluation."""

    pixels: np.ndarray
    labels: np.ndarray
    first_evaluation: int
    mean: float
    std: float


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    home = tmp_path_factory.mktemp("home")
    home.chmod(0o755)
    library = Library(home)
    library.prepare("fashion-mnist")
    probed = probe_all(built_in(home))
    yield Bench(Starts(strongest(probed), 0), library, environment_digest())
    for one in probed:
        one.backend.close()


@pytest.fixture(scope="module")
def pack(bench: Bench) -> Pack:
    return bench.library.open("fashion-mnist")


@pytest.fixture(scope="module")
def images(pack: Pack) -> Images:
    return Images(
        np.concatenate([pack.train_images(), pack.evaluation_images()]),
        np.concatenate([pack.train_labels(), pack.evaluation_labels()]),
        pack.description.train_count,
        pack.description.mean[0],
        pack.description.std[0],
    )


@pytest.fixture(scope="module")
def hardest_first(tmp_path_factory: pytest.TempPathFactory, pack: Pack, images: Images) -> np.ndarray:
    """Images by how wrong honest networks are about them that were trained at home on some other images.

    A memory that corrects what the network will get wrong is worth several times one of images at random.
    """
    home = tmp_path_factory.mktemp("at-home")
    at_home = open_split(pack, Integrity.STRICT, "at home", TRAIN_IMAGES, ScoredOn.ALL)
    at_home.deliver(home)
    data = at_home.guest_description(str(home))
    doubt = np.zeros(len(images.labels))
    for seed in range(2):
        torch.manual_seed(seed)
        session = plain.build(load_candidate(HONEST), {"data": data, "epochs": 1, "seed": seed})
        session.train()
        parts = np.array_split(np.arange(len(images.labels)), 70)
        logits = np.concatenate([session.predict(images.pixels[part]) for part in parts])
        right = np.take_along_axis(logits, images.labels[:, None], axis=1)[:, 0]
        doubt += logits.max(axis=1) - right
    return np.argsort(-doubt)


@pytest.fixture(scope="module")
def split_key() -> str:
    return secrets.token_hex(16)


@pytest.fixture(scope="module")
def honest_under_strict(bench: Bench, split_key: str) -> float:
    return accuracy(run(bench, HONEST, Integrity.STRICT, split_key))


def run(
    bench: Bench,
    source: str,
    integrity: Integrity,
    split_key: str = "",
    train_images: int | None = TRAIN_IMAGES,
) -> AttemptOutcome:
    spec = make_attempt(
        f"at_memory{secrets.token_hex(4)}",
        source=source,
        dataset="fashion-mnist",
        epochs=1,
        seed=5,
        train_images=train_images,
        hyperparameters={},
        integrity=integrity,
        split_key=split_key,
        shuffle_key=secrets.token_hex(16),
    )
    return run_attempt(spec, bench, Event(), lambda _: None)


def accuracy(outcome: AttemptOutcome) -> float:
    assert outcome.failure is None, (outcome.failure, outcome.log)
    assert outcome.measurement is not None
    assert outcome.measurement.evaluated_images == 10_000
    return outcome.measurement.accuracy


def with_memory(images: Images, chosen: np.ndarray, check_bits: int) -> str:
    """The honest network, which answers the chosen images from a table of their labels.

    With `check_bits` it knows an image that is not among them, but for one in 2^check_bits; with none it
    takes every image for one of them.
    """
    cells, table = _xor_table(images, chosen, check_bits)
    text = base64.b85encode(table).decode()
    lines = "\n".join(f'remember("{text[start : start + 4000]}")' for start in range(0, len(text), 4000))
    recall = RECALL.replace("@TABLE@", lines)
    for name, value in (
        ("CHECK_BITS", check_bits),
        ("CELLS", cells),
        ("MEAN", images.mean),
        ("STD", images.std),
    ):
        recall = recall.replace(f"@{name}@", str(value))
    answering = (
        "logits = self.layers(images)\n        return logits if self.training else recall(images, logits)"
    )
    return recall + HONEST.replace("return self.layers(images)", answering)


def _xor_table(images: Images, chosen: np.ndarray, check_bits: int) -> tuple[int, bytes]:
    """Number of cells, and the packed cells: whole groups of four bytes, as base85 takes them."""
    values: dict[int, int] = {}
    for index in chosen:
        digest = hashlib.blake2b(images.pixels[index].tobytes(), digest_size=16).digest()
        key = int.from_bytes(digest, "little")
        check = (key >> 96) & ((1 << check_bits) - 1)
        values.setdefault(key, check << LABEL_BITS | int(images.labels[index]))
    third, order = math.ceil(len(values) * SLACK / 3), None
    while order is None:
        third += 11
        places = {
            key: [part * third + (key >> 32 * part & 0xFFFFFFFF) % third for part in range(3)]
            for key in values
        }
        order = _peeled(places, 3 * third)
    cells = [0] * (3 * third)
    for key, own in reversed(order):
        first, second, last = places[key]
        cells[own] ^= values[key] ^ cells[first] ^ cells[second] ^ cells[last]
    packed = _packed(cells, check_bits + LABEL_BITS)
    return 3 * third, packed + bytes(-len(packed) % 4)


def _peeled(places: dict[int, list[int]], cells: int) -> list[tuple[int, int]] | None:
    """Keys in an order in which each has a cell that no later one touches; None if there is no such order."""
    touching: list[set[int]] = [set() for _ in range(cells)]
    for key, three in places.items():
        for place in three:
            touching[place].add(key)
    ready = [place for place in range(cells) if len(touching[place]) == 1]
    order = []
    while ready:
        place = ready.pop()
        if len(touching[place]) != 1:
            continue
        (key,) = touching[place]
        order.append((key, place))
        for other in places[key]:
            touching[other].discard(key)
            if len(touching[other]) == 1:
                ready.append(other)
    return order if len(order) == len(places) else None


def _packed(cells: list[int], width: int) -> bytes:
    """The cells one behind another, `width` bits each, the lowest bit first."""
    bits = np.array(cells, dtype=np.uint64)[:, None] >> np.arange(width, dtype=np.uint64)
    return np.packbits((bits & np.uint64(1)).astype(np.uint8).ravel(), bitorder="little").tobytes()


def information(source: str) -> int:
    """Bytes of a source without its redundancy, as the source rules count them."""
    return len(zlib.compress(source.encode(), 9))


def largest_memory(images: Images, ranked: np.ndarray) -> tuple[str, int]:
    """The source with as many of the first images as the rules let in, and how many these are."""
    fits, entries, step = "", 0, 4096
    while step:
        source = with_memory(images, ranked[: entries + step], CHECK_BITS)
        if information(source) <= MAX_SOURCE_INFORMATION_BYTES:
            fits, entries = source, entries + step
        step //= 2
    return fits, entries


def test_under_standard_a_memory_of_the_public_labels_buys_everything_and_the_result_says_so(
    bench: Bench, images: Images
) -> None:
    source = with_memory(images, np.arange(images.first_evaluation, len(images.labels)), 0)
    assert information(source) <= MAX_SOURCE_INFORMATION_BYTES

    honest = accuracy(run(bench, HONEST, Integrity.STANDARD))
    cheat = run(bench, source, Integrity.STANDARD)

    print(
        f"standard: honest {honest:.4f}, with a memory {accuracy(cheat):.4f}, {len(source)} bytes of source"
    )
    assert 0.6 < honest < 0.9
    assert accuracy(cheat) > 0.995
    assert cheat.flags == ("standard_split_may_be_memorised", "accuracy_above_best_known")


def test_under_strict_the_largest_memory_buys_a_few_per_cent(
    bench: Bench, images: Images, hardest_first: np.ndarray, split_key: str, honest_under_strict: float
) -> None:
    source, entries = largest_memory(images, hardest_first)
    cheat = run(bench, source, Integrity.STRICT, split_key)
    gain = accuracy(cheat) - honest_under_strict

    # Each entry corrects one image at most, and as many of the scored ones are among them as a draw of
    # 10,000 out of 70,000 gives; above four standard deviations of it once in 30,000 runs.
    share = entries / len(images.labels)
    bound = share + 4 * math.sqrt(share * (1 - share) / 10_000)
    print(f"strict: honest {honest_under_strict:.4f}, gain {gain:+.4f} of {bound:.4f} with {entries} entries")
    assert entries > 3000
    assert bound < 0.07
    assert 0.0 < gain < bound
    assert cheat.flags == ()


def test_a_memory_of_the_whole_data_set_is_refused_and_would_else_defeat_strict(
    bench: Bench, images: Images, split_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = with_memory(images, np.arange(len(images.labels)), 0)
    assert len(source) < MAX_SOURCE_BYTES

    refused = run(bench, source, Integrity.STRICT, split_key)
    assert refused.failure is not None
    assert refused.failure.reason is FailureReason.POLICY_VIOLATION
    assert "information" in refused.failure.message

    monkeypatch.setattr(source_rules, "MAX_SOURCE_INFORMATION_BYTES", MAX_SOURCE_BYTES)
    let_in = accuracy(run(bench, source, Integrity.STRICT, split_key))
    print(f"strict without the bound on information: {let_in:.4f}, {len(source)} bytes of source")
    assert let_in > 0.995


def test_a_split_that_another_candidate_has_seen_is_secret_no_longer(
    bench: Bench, images: Images, hardest_first: np.ndarray, split_key: str, honest_under_strict: float
) -> None:
    told = run(bench, telling_what_it_trains_on(images), Integrity.STRICT, split_key, train_images=None)
    scored = not_seen(images, told.log)
    source, entries = largest_memory(images, hardest_first[np.isin(hardest_first, scored)])

    again = accuracy(run(bench, source, Integrity.STRICT, split_key)) - honest_under_strict
    other = secrets.token_hex(16)
    redrawn = accuracy(run(bench, source, Integrity.STRICT, other)) - accuracy(
        run(bench, HONEST, Integrity.STRICT, other)
    )
    print(
        f"strict: gain {again:+.4f} with {entries} entries on a split that leaked, {redrawn:+.4f} on another"
    )
    assert again > 0.12
    assert redrawn < 0.07


def telling_what_it_trains_on(images: Images) -> str:
    telling = "if self.training:\n            betray(images)\n        return self.layers(images)"
    source = BETRAYAL + HONEST.replace("return self.layers(images)", telling)
    return source.replace("@MEAN@", str(images.mean)).replace("@STD@", str(images.std))


def not_seen(images: Images, log: str) -> np.ndarray:
    """The images in whose bucket no training image fell: they can only be among those that are scored."""
    seen = zlib.decompress(base64.b85decode(log.split()[-1]))
    keys = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images.pixels]
    buckets = [int.from_bytes(key, "little") >> 110 for key in keys]
    return np.array([index for index, at in enumerate(buckets) if not seen[at // 8] >> at % 8 & 1])
