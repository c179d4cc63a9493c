"""One attempt, from its spec to its outcome (docs/architecture.md, promise 1).

Check the source again, draw the split, launch a sandbox, hear it build and train, send unlabelled images
batch by batch in a secret order, score the answers here. A bad candidate ends as a Failure; so does a broken
platform, as `infrastructure`. Nothing is raised to the caller.
"""

import json
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import version
from threading import Event
from typing import Any

import numpy as np

from contracts.failures import Failure
from contracts.guest_wire import MAX_CLAIMS_BYTES, FrameKind
from contracts.jobs import AttemptOutcome, AttemptSpec
from contracts.measurements import Isolation, Measurement, Provenance, SmokeResult, TraceResult
from contracts.names import AttemptKind, Integrity
from contracts.source_rules import CheckedSource, SourceRejected, check_source
from sandbox_runner.channel import Lengths
from sandbox_runner.claims import claimed_count, claimed_number, claims_from
from sandbox_runner.conversation import Conversation
from sandbox_runner.datasets.library import Library
from sandbox_runner.datasets.splits import Split, open_split
from sandbox_runner.gpus import Gpu, Gpus
from sandbox_runner.limits import LimitWatch
from sandbox_runner.metering import Meter
from sandbox_runner.phases import Phase
from sandbox_runner.plausibility import Observed, flags_of
from sandbox_runner.python_environment import guest_spec
from sandbox_runner.sandboxes.port import DATA_INSIDE, Sandbox
from sandbox_runner.scoring import (
    LOGIT_BYTES,
    LogitsNotFinite,
    Score,
    batches_of,
    predicted_classes,
    score,
    secret_order,
)
from sandbox_runner.smoke import ANSWERED_IMAGES, smoke_spec
from sandbox_runner.starts import Starts
from sandbox_runner.stops import GuestStopped, Stop, StopKind
from sandbox_runner.trace import Traced, hear_trace, trace_spec
from sandbox_runner.verdicts import failure_of, infrastructure

logger = logging.getLogger(__name__)

NOTHING = Lengths(0, 0)
_NARROWED = {AttemptKind.SMOKE: smoke_spec, AttemptKind.TRACE: trace_spec}
"""Kinds of attempts that ask less than their spec says."""


@dataclass(frozen=True)
class Bench:
    """What every attempt on this host works with."""

    starts: Starts
    library: Library
    environment_digest: str
    gpus: Gpus = field(default_factory=lambda: Gpus(()))


@dataclass(frozen=True)
class _Answered:
    """What a guest that came through has earned: a smoke run no score, a trace no more than its word."""

    score: Score | None = None
    images: int = 0
    predict_seconds: float = 0.0
    claims: dict[str, Any] = field(default_factory=dict)
    traced: Traced | None = None


def run_attempt(
    spec: AttemptSpec, bench: Bench, cancelled: Event, on_phase: Callable[[Phase], None]
) -> AttemptOutcome:
    """Run one attempt to its end. `on_phase` hears each phase as it begins."""
    attempt = _Attempt(spec, bench, cancelled, on_phase)
    try:
        checked = check_source(spec.source)
        attempt.run(checked)
    except SourceRejected as rejected:
        attempt.failure = Failure(rejected.reason, rejected.message, location=rejected.location)
    except Exception as error:
        logger.exception("attempt %s: the platform failed", spec.attempt_id)
        attempt.measurement, attempt.smoke, attempt.trace = None, None, None
        attempt.failure = infrastructure(f"{type(error).__name__}: {error}")
    return attempt.outcome()


class _Attempt:
    """The state of one run: the outcome as far as it is known."""

    def __init__(
        self, spec: AttemptSpec, bench: Bench, cancelled: Event, on_phase: Callable[[Phase], None]
    ) -> None:
        self.measurement: Measurement | None = None
        self.smoke: SmokeResult | None = None
        self.trace: TraceResult | None = None
        self.failure: Failure | None = None
        self._spec = spec
        self._bench = bench
        self._cancelled = cancelled
        self._on_phase = on_phase
        self._dataset_hash = ""
        self._environment_digest = bench.environment_digest
        self._log = ""
        self._flags: list[str] = []

    def run(self, checked: CheckedSource) -> None:
        """Draw the split, take a sandbox, converse; the sandbox is closed whatever happened."""
        spec = self._spec
        self._on_phase(Phase.PREPARING)
        pack = self._bench.library.open(spec.dataset)
        if spec.kind in _NARROWED:
            spec = self._spec = _NARROWED[spec.kind](spec, pack.description.train_count)
        with self._gpu() as gpu:
            meter = Meter()  # not before: to wait for a GPU is no part of the start
            split = open_split(pack, spec.integrity, spec.split_key, spec.train_images, spec.scored_on)
            self._dataset_hash = split.content_hash
            name = f"{spec.attempt_id}-{spec.fence}".replace("_", "-")
            guest = guest_spec(name, spec.limits, spec.threads, None if gpu is None else gpu.uuid)
            if gpu is not None:
                meter.look_at_gpu(gpu.used_bytes)
            with self._bench.starts.sandbox(guest) as sandbox:
                self._environment_digest = sandbox.environment_digest
                split.deliver(sandbox.data)
                self._supervise(sandbox, LimitWatch(spec.limits, meter), checked, split)
            if gpu is not None and self.failure is not None and not gpu.answers():
                self.failure = infrastructure(f"{gpu.uuid} does not answer any more: {self.failure.message}")

    def _gpu(self) -> AbstractContextManager[Gpu | None]:
        """The GPU of this attempt, lent to it alone, where it asks for one."""
        if self._spec.device == "cpu":
            return nullcontext()
        spec = self._spec
        return self._bench.gpus.lend(spec.device, self._cancelled, spec.minimum_gpu_memory_bytes)

    def _supervise(self, sandbox: Sandbox, watch: LimitWatch, checked: CheckedSource, split: Split) -> None:
        """Hold the conversation; then read the accounting, which has the last word."""
        conversation = Conversation(sandbox, watch, self._cancelled, self._on_phase)
        answered: _Answered | None = None
        stop: Stop | None = None
        try:
            with conversation as guest:
                answered = self._converse(guest, checked, split)
        except GuestStopped as stopped:
            stop = stopped.stop
        usage, ended = sandbox.usage(), sandbox.exit()
        self._log = conversation.log.text()
        stop = stop or watch.exceeded(Phase.FINISHING, usage)
        if stop is not None or answered is None:
            stop = stop or Stop(StopKind.EXITED)
            self.failure = failure_of(stop, conversation.phase, usage, ended, self._spec.limits)
            return
        if usage.pids_limit_hits:
            self._flags.append("pids_limit_was_reached")
        if answered.traced is not None:
            self.trace = _trace(answered.traced, watch.meter)
            return
        if answered.score is None:
            self.smoke = self._smoked(answered, watch.meter)
            return
        if self._spec.integrity is Integrity.STANDARD:
            self._flags.append("standard_split_may_be_memorised")
        self.measurement = self._measured(answered, answered.score, watch.meter)
        self._flags += flags_of(self._observed(answered.score, split, watch.meter))

    def _converse(self, guest: Conversation, checked: CheckedSource, split: Split) -> _Answered:
        """IMPORTED, JOB, READY, BUILT, TRAINED, then batch after batch; or TRACED. Raises GuestStopped."""
        guest.greet()
        guest.send(FrameKind.JOB, self._job(checked, split))
        guest.hear(FrameKind.READY, NOTHING)
        guest.enter(Phase.BUILDING)
        guest.hear(FrameKind.BUILT, NOTHING)
        if self._spec.kind is AttemptKind.TRACE:
            return _Answered(traced=hear_trace(guest))
        guest.enter(Phase.TRAINING)
        claims = claims_from(guest.hear(FrameKind.TRAINED, Lengths(2, MAX_CLAIMS_BYTES)))
        guest.enter(Phase.PREDICTING)
        trained_at = guest.watch.meter.wall_seconds
        earned, images = self._examine(guest, split)
        predict_seconds = guest.watch.meter.wall_seconds - trained_at
        guest.finish()
        return _Answered(earned, images, predict_seconds, claims)

    def _examine(self, guest: Conversation, split: Split) -> tuple[Score | None, int]:
        """Send the evaluation images in secret order and score the answers; a smoke run sends a few of them.

        Gives the score and the number of images.
        """
        order = secret_order(self._spec.shuffle_key, len(split.evaluation_labels))
        if self._spec.kind is AttemptKind.SMOKE:
            order = order[:ANSWERED_IMAGES]
        predicted = np.full(len(split.evaluation_labels), -1, dtype=np.int64)
        for chosen in batches_of(order):
            pixels = np.ascontiguousarray(split.evaluation_images[chosen]).tobytes()
            answer = guest.ask(pixels, len(chosen) * split.classes * LOGIT_BYTES)
            try:
                predicted[chosen] = predicted_classes(answer, len(chosen), split.classes)
            except LogitsNotFinite as error:
                raise GuestStopped(Stop(StopKind.NOT_FINITE, str(error))) from error
        if self._spec.kind is AttemptKind.SMOKE:
            return None, len(order)
        return score(predicted, split.evaluation_labels, split.selection), len(order)

    def _job(self, checked: CheckedSource, split: Split) -> bytes:
        spec = self._spec
        job = {
            "source": checked.source,
            "contract": checked.contract.value,
            "data": split.guest_description(DATA_INSIDE),
            "epochs": spec.epochs,
            "seed": spec.seed,
            "threads": spec.threads,
            # A sandbox sees one GPU or none, whatever its number on the host.
            "device": "cpu" if spec.device == "cpu" else "cuda:0",
            "hyperparameters": spec.hyperparameters,
            "trace": spec.kind is AttemptKind.TRACE,
        }
        return json.dumps(job).encode()

    def _measured(self, answered: _Answered, earned: Score, meter: Meter) -> Measurement:
        return Measurement(
            accuracy=earned.accuracy,
            accuracy_standard_error=earned.standard_error,
            scored_on=self._spec.scored_on,
            evaluated_images=earned.evaluated_images,
            audit_accuracy=earned.audit_accuracy,
            audit_images=earned.audit_images,
            **_costs(answered, meter),
        )

    def _smoked(self, answered: _Answered, meter: Meter) -> SmokeResult:
        return SmokeResult(answered_images=answered.images, **_costs(answered, meter))

    def _observed(self, earned: Score, split: Split, meter: Meter) -> Observed:
        spec = self._spec
        batch = spec.hyperparameters.get("batch")
        return Observed(
            dataset=spec.dataset,
            epochs=spec.epochs,
            train_images=split.train_count,
            batch=batch if isinstance(batch, int) else None,
            score=earned,
            predicted_images=len(split.evaluation_labels),
            training_cpu_seconds=meter.cpu_seconds_in(Phase.TRAINING) if spec.device == "cpu" else None,
            prediction_cpu_seconds=meter.cpu_seconds_in(Phase.PREDICTING),
        )

    def outcome(self) -> AttemptOutcome:
        """Everything that is known now."""
        spec, backend = self._spec, self._bench.starts.backend
        return AttemptOutcome(
            attempt_id=spec.attempt_id,
            fence=spec.fence,
            measurement=self.measurement,
            smoke=self.smoke,
            trace=self.trace,
            failure=self.failure,
            isolation=Isolation(backend.tier, backend.name, spec.limits),
            provenance=Provenance(
                dataset=spec.dataset,
                dataset_hash=self._dataset_hash,
                environment_digest=self._environment_digest,
                seed=spec.seed,
                device=spec.device,
                threads=spec.threads,
                runner_version=version("deltanas"),
            ),
            flags=tuple(self._flags),
            log=self._log,
        )


def _trace(traced: Traced, meter: Meter) -> TraceResult:
    return TraceResult(
        claimed_graph=traced.claimed_graph, not_traceable=traced.not_traceable, **_readings(meter)
    )


def _readings(meter: Meter) -> dict[str, Any]:
    return {
        "startup_seconds": meter.startup_seconds,
        "wall_seconds": meter.wall_seconds,
        "cpu_seconds": meter.cpu_seconds,
        "peak_memory_bytes": meter.peak_memory_bytes,
        "peak_gpu_memory_bytes": meter.peak_gpu_memory_bytes,
    }


def _costs(answered: _Answered, meter: Meter) -> dict[str, Any]:
    """What is told of every run that came through: the host's readings, and beside them the guest's word."""
    claims = answered.claims
    return {
        **_readings(meter),
        "claimed_train_seconds": claimed_number(claims.get("train_seconds")),
        "claimed_predict_seconds": answered.predict_seconds,
        "claimed_parameters": claimed_count(claims.get("parameters")),
        "claimed_train_loss": claimed_number(claims.get("train_loss")),
    }
