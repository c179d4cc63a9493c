"""Runs specimens two at a time on one worker, and sees after each pair that nothing was harmed or left."""

import os
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Self

import numpy as np

from contracts.jobs import AttemptOutcome, AttemptSpec
from contracts.names import AttemptKind, Integrity, IsolationTier, ScoredOn
from sandbox_runner.attempt import Bench, run_attempt
from sandbox_runner.datasets.library import Library
from sandbox_runner.datasets.pack import write_pack
from sandbox_runner.datasets.raw import ImageSet, RawDataset
from sandbox_runner.python_environment import environment_digest
from sandbox_runner.sandboxes.port import SandboxBackend
from sandbox_runner.specimens.catalogue import SPECIMENS
from sandbox_runner.specimens.specimen import CONTROL, Specimen

DATASET = "quadrants"
CLASSES = 4
EVALUATION_IMAGES = 300
PAIRS_BETWEEN_CONTROLS = 8


@dataclass(frozen=True)
class Surroundings:
    """What must be the same after an attempt as before it."""

    canary: str
    descriptors: int
    mounts: int
    leftovers: tuple[str, ...]
    """Processes and cgroups that bear the name of an attempt of this suite."""


class Arena:
    """One worker, its dataset, its canary and its open doors that nobody may reach."""

    def __init__(self, folder: Path, backend: SandboxBackend) -> None:
        self.secret = secrets.token_hex(16)
        self.constant_accuracy = 1 / CLASSES
        self._prefix = f"at_sp{secrets.token_hex(3)}"
        self._canary = folder / "canary"
        self._canary.write_text(self.secret)
        self._home = folder / "home"
        self._bench = Bench(backend, Library(self._home), environment_digest())
        self._outcomes: dict[str, AttemptOutcome] = {}
        self._pairs_run = 0
        _write_dataset(self._home / "datasets" / DATASET)
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._abstract = socket.socket(socket.AF_UNIX)
        self._abstract.bind(f"\0{self.secret}")
        self._abstract.listen()
        self.control = self._accuracy_of_control("start")
        self._before = self._surroundings()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tcp.close()
        self._abstract.close()

    def outcome_of(self, specimen: Specimen) -> AttemptOutcome:
        """The outcome; running it runs its neighbour of the list beside it, each with the other's noise."""
        if specimen.name not in self._outcomes:
            index = SPECIMENS.index(specimen) // 2 * 2
            self._run_pair(SPECIMENS[index : index + 2])
        return self._outcomes[specimen.name]

    def check_control(self, when: str) -> None:
        """The worker still measures an honest network exactly as at the start."""
        assert self._accuracy_of_control(when) == self.control, f"the control's score has changed: {when}"

    def check_surroundings(self) -> None:
        """Nothing is harmed and nothing is left."""
        assert self._surroundings() == self._before

    def run(self, specimen: Specimen, number: str) -> AttemptOutcome:
        """One attempt of a specimen."""
        return run_attempt(self._spec(specimen, number), self._bench, Event(), lambda _: None)

    def _run_pair(self, pair: tuple[Specimen, ...]) -> None:
        with ThreadPoolExecutor(2) as both:
            outcomes = both.map(lambda one: self.run(one, str(SPECIMENS.index(one))), pair)
            self._outcomes |= {one.name: outcome for one, outcome in zip(pair, outcomes, strict=True)}
        self.check_surroundings()
        self._pairs_run += 1
        if self._pairs_run % PAIRS_BETWEEN_CONTROLS == 0:
            self.check_control(f"after {pair[-1].name}")

    def _accuracy_of_control(self, when: str) -> float:
        outcome = self.run(CONTROL, f"c{secrets.token_hex(2)}")
        assert outcome.measurement is not None, f"the control failed at {when}: {outcome.failure}"
        return outcome.measurement.accuracy

    def _spec(self, specimen: Specimen, number: str) -> AttemptSpec:
        return AttemptSpec(
            attempt_id=f"{self._prefix}_{number}",
            evaluation_id="ev_specimen",
            fence=1,
            kind=AttemptKind.EVALUATE,
            source=self._source(specimen),
            dataset=DATASET,
            epochs=3,
            seed=0,
            train_images=None,
            hyperparameters={"batch": 32},
            limits=specimen.limits,
            threads=1,
            device=specimen.device,
            integrity=Integrity.STANDARD,
            minimum_tier=IsolationTier.NAMESPACES,
            scored_on=ScoredOn.ALL,
            split_key="split",
            shuffle_key="shuffle",
        )

    def _source(self, specimen: Specimen) -> str:
        text = specimen.source
        known = {
            "@CANARY@": str(self._canary),
            "@HOME@": str(self._home),
            "@SECRET@": self.secret,
            "@ABSTRACT@": self.secret,
            "@PORT@": str(self._tcp.getsockname()[1]),
            "@EVALUATION@": str(EVALUATION_IMAGES),
        }
        for placeholder, value in known.items():
            text = text.replace(placeholder, value)
        return text

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            canary=self._canary.read_text(),
            descriptors=len(os.listdir("/proc/self/fd")),
            mounts=len(Path("/proc/self/mountinfo").read_text().splitlines()),
            leftovers=tuple(sorted(_bearing(self._prefix.replace("_", "-")))),
        )


def _bearing(name: str) -> list[str]:
    """Processes by their cgroup, and cgroups by their path, that bear `name`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "cgroup").read_text()
        except OSError:
            continue
        if name in text:
            found.append(str(folder))
    for root, names, _ in os.walk("/sys/fs/cgroup"):
        found += [f"{root}/{one}" for one in names if name in one]
    return found


def _write_dataset(folder: Path) -> None:
    """Four classes, told apart by which quadrant of an 8×8 image is brighter; noisy enough to miss some."""
    generator = np.random.default_rng(7)

    def part(count: int) -> ImageSet:
        labels = generator.permutation(np.arange(count) % CLASSES)
        images = generator.integers(0, 200, (count, 1, 8, 8))
        for image, label in zip(images, labels, strict=True):
            top, left = label // 2 * 4, label % 2 * 4
            image[0, top : top + 4, left : left + 4] += 24
        return ImageSet.from_arrays(images.clip(0, 255).astype(np.uint8), labels)

    names = tuple(f"quadrant-{number}" for number in range(CLASSES))
    raw = RawDataset((1, 8, 8), names, part(512), part(EVALUATION_IMAGES), "made by the test")
    folder.parent.mkdir(parents=True)
    write_pack(folder, DATASET, raw)
