"""One worker under attack: specimens run three at a time, an honest network among them; then it looks around.

A round is three attempts on the same worker at once: each has the others' noise. Every second round leaves a
place to the control, which so runs *after* the specimens of all rounds before, too; `finish` runs one after
the last.
"""

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from threading import Event
from typing import Self

from contracts.jobs import AttemptOutcome, AttemptSpec
from contracts.names import AttemptKind, Integrity, IsolationTier, ScoredOn
from sandbox_runner.attempt import Bench, run_attempt
from sandbox_runner.datasets.library import Library
from sandbox_runner.gpus import find_gpus
from sandbox_runner.python_environment import environment_digest
from sandbox_runner.sandboxes.port import SandboxBackend
from sandbox_runner.specimens import quadrants
from sandbox_runner.specimens.judgement import Scores, outcome_words, shortcomings
from sandbox_runner.specimens.specimen import CONTROL, Specimen
from sandbox_runner.specimens.surroundings import Doors, Outpost, Surroundings, Watch, differences
from sandbox_runner.starts import CORES, Starts

AT_A_TIME = 3
SECRET_VARIABLE = "DELTANAS_SPECIMEN_SECRET"  # noqa: S105  the name of one
REFILL_SECONDS = 240.0
"""Until the sandboxes that wait for work have all imported what they need; some 5 s on an idle machine."""
HOME_MODE = 0o755
"""The sandbox's own user may read the canary, so that nothing but the sandbox keeps it away."""


class ArenaUnfit(Exception):
    """The control fails, or does not repeat its score, before any attack: nothing can be learnt here."""


@dataclass(frozen=True)
class Trial:
    """One specimen that was run. It came out as expected when both lists are empty."""

    specimen: Specimen
    outcome: AttemptOutcome
    seconds: float
    shortcomings: tuple[str, ...]
    """What its outcome should have been and is not."""
    aftermath: tuple[str, ...]
    """What its round has changed or left behind."""

    @property
    def held(self) -> bool:
        """Whether the sandbox held and nothing was left."""
        return not self.shortcomings and not self.aftermath


class Arena:
    """A worker of its own with a data set, a canary, a secret and open doors. A context manager."""

    def __init__(
        self,
        folder: Path,
        backend: SandboxBackend,
        *,
        warm: bool,
        state: Path | None = None,
        outpost: Outpost | None = None,
    ) -> None:
        """`folder` is this worker's alone; `state` is where the backend keeps its own, if elsewhere;
        `outpost` is what a Docker tier has outside of both.

        `warm`: sandboxes wait for work, one for each attempt at a time; else every start is a cold one.
        """
        self.mark = f"sp{secrets.token_hex(5)}"
        self.tier: IsolationTier = backend.tier
        self._secret = secrets.token_hex(16)
        self._folder = folder
        self._home = folder / "home"
        self._homes = [folder, *([state] if state else [])]
        self._canary = folder / "canary"
        self._waiting = AT_A_TIME if warm else 0
        # While sandboxes are replaced here, nobody else needs the cores.
        self._starts = Starts(backend, self._waiting, most_importing=CORES)
        gpus = find_gpus()
        self.devices = ("cpu", *(() if self.tier is IsolationTier.NAMESPACES else gpus.devices))
        """What a specimen's device may be here."""
        self._bench = Bench(self._starts, Library(self._home), environment_digest(), gpus)
        self._outpost = outpost
        self._numbers = count(1)
        self._cancelled = Event()

    def __enter__(self) -> Self:
        """Raises ArenaUnfit."""
        self._folder.chmod(HOME_MODE)
        self._canary.write_text(self._secret)
        quadrants.write_quadrants(self._home)
        own_tmp = self._folder / "tmp"
        own_tmp.mkdir()
        self._tmp_before, tempfile.tempdir = tempfile.tempdir, str(own_tmp)
        os.environ[SECRET_VARIABLE] = self._secret
        self._doors = Doors(self._secret)
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._starts.close()
        self._doors.close()
        os.environ.pop(SECRET_VARIABLE, None)
        tempfile.tempdir = self._tmp_before

    def run_round(
        self, specimens: Sequence[Specimen], began: Callable[[Specimen], None] = lambda _: None
    ) -> list[Trial]:
        """Run these at the same time, and the control in the place that they leave; then look around."""

        def timed(specimen: Specimen) -> tuple[AttemptOutcome, float]:
            began(specimen)
            started = time.monotonic()
            return self._run(specimen), time.monotonic() - started

        with self._lanes() as lanes:
            controls = [lanes.submit(self._run, CONTROL)] if len(specimens) < AT_A_TIME else []
            ended = list(lanes.map(timed, specimens))
        troubles = [trouble for control in controls for trouble in self._control_troubles(control.result())]
        aftermath = (*troubles, *self._changes())
        return [
            Trial(
                specimen, outcome, seconds, shortcomings(specimen, outcome, self.tier, self.scores), aftermath
            )
            for specimen, (outcome, seconds) in zip(specimens, ended, strict=True)
        ]

    def run(self, specimen: Specimen, cancelled: Event) -> AttemptOutcome:
        """One attempt of a specimen."""
        return run_attempt(self._spec(specimen, next(self._numbers)), self._bench, cancelled, lambda _: None)

    def finish(self) -> tuple[str, ...]:
        """Run the control once more and look around: what is not as it was at the start."""
        return (*self._control_troubles(self._run(CONTROL)), *self._changes())

    def _begin(self) -> None:
        """Take the control's score, as often at a time as later, and a first look around."""
        with self._lanes() as lanes:
            outcomes = list(lanes.map(self._run, [CONTROL] * AT_A_TIME))
        earned = {one.measurement.accuracy if one.measurement else None for one in outcomes}
        if len(earned) > 1 or None in earned:
            came_to = ", ".join(_told(outcome) for outcome in outcomes)
            raise ArenaUnfit(f"an honest network came to: {came_to}")
        self.scores = Scores(earned.pop() or 0.0, quadrants.CONSTANT_ACCURACY, quadrants.EVALUATION_IMAGES)
        if not quadrants.CONSTANT_ACCURACY + 0.1 < self.scores.honest < 1:
            raise ArenaUnfit(f"an honest network scores {self.scores.honest:.4f}, which tells nothing")
        # Its images are cut from the data set once and kept there: no specimen's doing.
        traced = self._run(replace(CONTROL, kind=AttemptKind.TRACE))
        if traced.trace is None or traced.trace.claimed_graph is None:
            raise ArenaUnfit(f"an honest network was not traced: {_told(traced)}")
        self._watch = Watch(
            self._homes, [self._canary, self._home / "datasets"], self.mark, self._doors, self._outpost
        )
        self._refill()
        self.before: Surroundings = self.look()
        self.now: Surroundings = self.before

    @contextmanager
    def _lanes(self) -> Iterator[ThreadPoolExecutor]:
        """Threads for attempts. Who is interrupted while they run does not wait for their ends."""
        with ThreadPoolExecutor(AT_A_TIME) as lanes:
            try:
                yield lanes
            except BaseException:
                self._cancelled.set()
                raise

    def _control_troubles(self, outcome: AttemptOutcome) -> list[str]:
        if outcome.measurement is not None and outcome.measurement.accuracy == self.scores.honest:
            return []
        return [f"the control came to {_told(outcome)}, not to {100 * self.scores.honest:.2f} %"]

    def _refill(self) -> None:
        """Let as many sandboxes wait again as did at the start; they are counted like everything else."""
        deadline = time.monotonic() + REFILL_SECONDS
        while self._starts.waiting() < self._waiting and time.monotonic() < deadline:
            time.sleep(0.1)

    def look(self) -> Surroundings:
        """Count everything now, without waiting for anything to settle."""
        return self._watch.look()

    def _changes(self) -> tuple[str, ...]:
        """What has changed since the last time: each thing is told once."""
        self._refill()
        wanted, self.now = self.now, self._watch.settle(self.now)
        return differences(wanted, self.now)

    def _run(self, specimen: Specimen) -> AttemptOutcome:
        return self.run(specimen, self._cancelled)

    def _spec(self, specimen: Specimen, number: int) -> AttemptSpec:
        return AttemptSpec(
            attempt_id=f"at_{self.mark}_{number}",
            evaluation_id="ev_specimen",
            fence=1,
            kind=specimen.kind,
            source=self._source(specimen),
            dataset=quadrants.NAME,
            epochs=3,
            seed=0,
            train_images=None,
            hyperparameters={"batch": 32},
            limits=specimen.limits,
            threads=1,
            device=specimen.device,
            integrity=Integrity.STANDARD,
            minimum_tier=self.tier,
            scored_on=ScoredOn.ALL,
            split_key="split",
            shuffle_key="shuffle",
        )

    def _source(self, specimen: Specimen) -> str:
        """The attack with its placeholders filled, after a line that marks its processes."""
        known = {
            "@CANARY@": str(self._canary),
            "@HOME@": str(self._home),
            "@SECRET@": self._secret,
            "@ABSTRACT@": self._secret,
            "@MARK@": self.mark,
            "@PORT@": str(self._doors.port),
            "@EVALUATION@": str(quadrants.EVALUATION_IMAGES),
        }
        text = specimen.source
        for placeholder, value in known.items():
            text = text.replace(placeholder, value)
        return _MARKING.format(mark=self.mark) + text


_MARKING = (
    "__import__('ctypes').CDLL(None).prctl(15, b'{mark}'); __import__('os').environ['MARK'] = '{mark}'\n"
)
"""PR_SET_NAME for what is forked; a variable for what is then executed."""


def rounds_of(specimens: Sequence[Specimen], known: Sequence[Specimen]) -> list[tuple[Specimen, ...]]:
    """Who runs at the same time, in order: each after the one that it must follow.

    That one is taken from `known` when it is not among `specimens`. The first round leaves a place to the
    control, and so does every second one from there on.
    """
    ordered: list[Specimen] = []
    for specimen in specimens:
        earlier = [one for one in known if one.name == specimen.after and one not in ordered]
        ordered += [one for one in (*earlier, specimen) if one not in ordered]
    rounds: list[tuple[Specimen, ...]] = []
    for specimen in ordered:
        beside = rounds[-1] if rounds else ()
        places = AT_A_TIME - len(rounds) % 2
        if 0 < len(beside) < places and specimen.after not in {one.name for one in beside}:
            rounds[-1] = (*beside, specimen)
        else:
            rounds.append((specimen,))
    return rounds


def _told(outcome: AttemptOutcome) -> str:
    words = outcome_words(outcome)
    return f"{words} ({outcome.failure.message[:200]})" if outcome.failure else words
