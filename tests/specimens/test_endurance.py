"""A thousand evaluations, eight at a time, three in ten hostile: nothing grows, and every outcome is right.

The real runner process is driven over its socket, as an agent drives it. DELTANAS_ENDURANCE_EVALUATIONS says
how many; a short version is part of every run.
"""

import os
import random
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from itertools import count, cycle, islice
from pathlib import Path

import pytest
from sample_attempts import make_attempt
from sample_networks import CONVOLUTIONAL, LEARNS_BY_ITSELF

from contracts.jobs import AttemptOutcome
from contracts.measurements import MIB
from contracts.names import IsolationTier
from sandbox_runner.specimens import quadrants
from sandbox_runner.specimens.catalogue import SPECIMENS
from sandbox_runner.specimens.judgement import Scores, expectation_words, outcome_words, shortcomings
from sandbox_runner.specimens.specimen import CONTROL, LIMITS, Specimen
from sandbox_runner.specimens.surroundings import Doors, processes_marked

sys.path.insert(0, str(Path(__file__).parent.parent / "integration"))
from runner_process import Holdings, RunnerProcess

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

AT_A_TIME = 8
HOSTILE_IN_TEN = 3
FEW = 40
MANY = int(os.environ.get("DELTANAS_ENDURANCE_EVALUATIONS", "1000"))
SAMPLE_EVERY = 50
GROWTH = Holdings(
    descriptors=4,
    threads=AT_A_TIME,
    resident_bytes=24 * MIB,
    processes=0,
    cgroups=0,
    mounts=0,
    data_folders=0,
    files=0,
    disk_bytes=4096,
)
"""By how much the highest count of the last quarter may exceed that of the first: the threads that serve
requests come and go, and a heap takes a while to be as large as it becomes."""
QUIET_SECONDS, SETTLE_SECONDS = 1, 120
CLOCKS = ("wall_seconds", "startup_seconds", "predict_batch_seconds")
PATIENT = replace(LIMITS, wall_seconds=1800, startup_seconds=600, predict_batch_seconds=120)
"""Nobody here is ended by a clock: what is measured in CPU seconds is the same on a busy machine."""


@dataclass(frozen=True)
class Work:
    """Something to evaluate, and what it must come to."""

    name: str
    source: str
    expected: str
    accuracy: float
    """What it must score, if it is to be scored as an honest network."""
    seed: int
    specimen: Specimen

    def shortcomings(self, outcome: AttemptOutcome) -> Sequence[str]:
        """What is wrong with its outcome."""
        scores = Scores(self.accuracy, quadrants.CONSTANT_ACCURACY, quadrants.EVALUATION_IMAGES)
        return shortcomings(self.specimen, outcome, IsolationTier.NAMESPACES, scores)


@dataclass(frozen=True)
class Done:
    work: Work
    outcome: AttemptOutcome
    wrong: Sequence[str]


HONEST = {
    "linear, seed 0": (CONTROL.source, 0),
    "linear, seed 1": (CONTROL.source, 1),
    "convolutional": (CONVOLUTIONAL, 2),
    "learns by itself": (LEARNS_BY_ITSELF, 3),
}


def hostile_specimens() -> list[Specimen]:
    """Those whose outcome hangs on no clock on the wall: eight at a time are slow. Essential ones first."""
    fit = [
        one
        for one in SPECIMENS
        if one.device == "cpu" and all(getattr(one.limits, name) == getattr(LIMITS, name) for name in CLOCKS)
    ]
    return sorted(fit, key=lambda one: not one.essential)


class Field:
    """A runner, its callers, and what hostile candidates look for around it."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.runner = RunnerProcess(folder / "home", slots=AT_A_TIME)
        self._secret = secrets.token_hex(16)
        self._mark = f"en{secrets.token_hex(5)}"
        self._canary = folder / "canary"
        self._canary.write_text(self._secret)
        self._doors = Doors(self._secret)
        self._numbers = count(1)
        self._say = say
        self.holdings: list[Holdings] = []
        self.done: list[Done] = []

    def close(self) -> None:
        self._doors.close()
        self.runner.end()

    def honest(self) -> list[Work]:
        """The honest networks, each with the score that it has while nothing else runs."""
        return [self._calibrated(name, source, seed) for name, (source, seed) in HONEST.items()]

    def hostile(self, accuracy: float) -> list[Work]:
        """The specimens; those that earn their true score are the linear network, which has this one."""
        return [
            Work(
                one.name,
                self._filled(one),
                expectation_words(one.expected_on(IsolationTier.NAMESPACES)),
                accuracy,
                0,
                one,
            )
            for one in hostile_specimens()
        ]

    def run(self, plan: Sequence[Work], sample_every: int) -> None:
        """All of it, with a look at what the runner holds after every so many."""
        started = time.monotonic()
        with ThreadPoolExecutor(AT_A_TIME) as agents:
            for begin in range(0, len(plan), sample_every):
                latest = list(agents.map(self._run, plan[begin : begin + sample_every]))
                self.done += latest
                self.holdings.append(self._settled())
                rate = 60 * len(self.done) / (time.monotonic() - started)
                self._say(
                    f"{len(self.done):5} of {len(plan)}, {rate:.0f} a minute: {_told(self.holdings[-1])}"
                )
                for one in latest:
                    if one.wrong:
                        self._say(f"  {_line(one)}")

    def aftermath(self) -> list[str]:
        """What hostile candidates have reached or left."""
        found = [f"a process is left: {one}" for one in sorted(processes_marked(self._mark))]
        if self._doors.visitors():
            found.append("somebody came through a door of the host")
        if self._canary.read_text() != self._secret:
            found.append("the canary was changed")
        return found

    def _calibrated(self, name: str, source: str, seed: int) -> Work:
        outcome = self._run(Work(name, source, "", 0.0, seed, CONTROL)).outcome
        assert outcome.measurement is not None, (name, outcome.failure)
        accuracy = outcome.measurement.accuracy
        assert quadrants.CONSTANT_ACCURACY + 0.1 < accuracy < 1, (
            f"{name} scores {accuracy}, which tells nothing"
        )
        return Work(name, source, f"{100 * accuracy:.2f} %", accuracy, seed, CONTROL)

    def _run(self, work: Work) -> Done:
        limits = replace(work.specimen.limits, **{name: getattr(PATIENT, name) for name in CLOCKS})
        name = f"at_{self._mark}_{next(self._numbers)}"
        spec = make_attempt(name, source=work.source, seed=work.seed, limits=limits, kind=work.specimen.kind)
        outcome = self.runner.evaluate(spec, PATIENT.wall_seconds)
        return Done(work, outcome, work.shortcomings(outcome))

    def _settled(self) -> Holdings:
        """What the runner holds once nothing changes any more: all that are to wait for an attempt do."""
        deadline = time.monotonic() + SETTLE_SECONDS
        seen, unchanged_since = self.runner.holdings(), time.monotonic()
        while time.monotonic() < min(deadline, unchanged_since + QUIET_SECONDS):
            time.sleep(0.5)
            last, seen = seen, self.runner.holdings()
            full = len(self.runner.waiting()) in {0, AT_A_TIME}
            if not full or replace(last, resident_bytes=0) != replace(seen, resident_bytes=0):
                unchanged_since = time.monotonic()
        return seen

    def _filled(self, specimen: Specimen) -> str:
        """The attack with its placeholders filled, after a line that marks what it starts."""
        known = {
            "CANARY": str(self._canary),
            "HOME": str(self.runner.home),
            "SECRET": self._secret,
            "ABSTRACT": self._secret,
            "MARK": self._mark,
            "PORT": str(self._doors.port),
            "EVALUATION": str(quadrants.EVALUATION_IMAGES),
        }
        marking = f"__import__('ctypes').CDLL(None).prctl(15, b'{self._mark}')\n"
        return marking + re.sub("@([A-Z]+)@", lambda found: known[found[1]], specimen.source)


def _plan(honest: Sequence[Work], hostile: Sequence[Work], evaluations: int) -> list[Work]:
    """Three in ten hostile, each specimen as often as the others; the essential ones first."""
    attacks = round(evaluations * HOSTILE_IN_TEN / 10)
    plan = [*islice(cycle(hostile), attacks), *islice(cycle(honest), evaluations - attacks)]
    random.Random(3).shuffle(plan)
    return plan


def _told(held: Holdings) -> str:
    counts = (f"{getattr(held, one.name)} {one.name}" for one in fields(held) if one.name != "resident_bytes")
    return f"{held.resident_bytes / MIB:.0f} MiB, {', '.join(counts)}"


def _growth(samples: Sequence[Holdings]) -> list[str]:
    """What is more in the last quarter than in the first, by more than GROWTH."""
    quarter = max(1, len(samples) // 4)
    found = []
    for one in fields(Holdings):
        first, last = (
            max(getattr(sample, one.name) for sample in part)
            for part in (samples[:quarter], samples[-quarter:])
        )
        if last > first + getattr(GROWTH, one.name):
            found.append(f"{one.name}: {first} in the first quarter, {last} in the last")
    return found


def _line(one: Done) -> str:
    came_to = outcome_words(one.outcome)
    return f"{one.work.name:32} {one.work.expected:22} {came_to:22} {'; '.join(one.wrong)[:200]}"


def _table(wrong: Sequence[Done]) -> str:
    """Who came to something else, each way of it once."""
    rows = [f"{times:4} × {line}" for line, times in Counter(map(_line, wrong)).most_common(40)]
    return "\n".join(["", f"{len(wrong)} outcomes are wrong:", *rows])


@pytest.fixture
def field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Field]:
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)  # the sandbox alone keeps its user from what is here

    def say(line: str) -> None:
        with capsys.disabled():
            print(f"\n  {line}", end="", flush=True)

    made = Field(tmp_path, say)
    try:
        made.runner.start()
        yield made
    finally:
        made.close()


@pytest.mark.full
@pytest.mark.parametrize(
    "evaluations",
    [
        pytest.param(FEW, id="a few"),
        pytest.param(MANY, id="many", marks=pytest.mark.timeout(4 * 3600)),
    ],
)
def test_nothing_grows_and_every_outcome_is_right_however_many_run(field: Field, evaluations: int) -> None:
    honest = field.honest()
    plan = _plan(honest, field.hostile(honest[0].accuracy), evaluations)

    field.run(plan, max(1, min(SAMPLE_EVERY, evaluations // 4)))

    wrong = [one for one in field.done if one.wrong]
    assert not wrong, _table(wrong)
    assert len(field.done) == evaluations
    assert len(field.holdings) >= 4
    assert _growth(field.holdings) == []
    assert field.aftermath() == []
    assert field.runner.has_ended_well()
