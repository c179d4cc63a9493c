"""One training, from the model's files to the adapter's. Killed, it goes on from its checkpoint."""

import math
import time
from dataclasses import replace
from pathlib import Path

import torch

from contracts.fine_tuning import FineTuneResult, GradientCheckpointing
from generator_svc.fine_tuning.adapters import AdapterStore, AdapterUnknown
from generator_svc.fine_tuning.batching import batches_in_order, batches_of_step, steps_of, steps_of_epoch
from generator_svc.fine_tuning.job_folder import JobFolder
from generator_svc.fine_tuning.learning import judge, learning_rate
from generator_svc.fine_tuning.trainer.base_model import (
    Loaded,
    load_model,
    load_tokenizer,
    parent_mismatch,
    take_parent,
)
from generator_svc.fine_tuning.trainer.checkpoints import Checkpoints, Position
from generator_svc.fine_tuning.trainer.conversation_tokens import chat_encoder
from generator_svc.fine_tuning.trainer.failing import TrainingFailed
from generator_svc.fine_tuning.trainer.learner import Learner
from generator_svc.fine_tuning.trainer.material import read_material
from generator_svc.fine_tuning.trainer.model_folder import find_model
from generator_svc.fine_tuning.trainer.probing import valid_rate
from generator_svc.fine_tuning.trainer.publication import publish
from generator_svc.fine_tuning.trainer.reporting import Reporter
from generator_svc.language_models.local import adapter_files
from generator_svc.language_models.local.weights.memory_errors import is_memory_error


class Session:
    """The training of one job."""

    def __init__(self, home: Path, folder: JobFolder, reporter: Reporter, save_memory: bool) -> None:
        """Raises JobDamaged."""
        self._home = home
        self._folder = folder
        self._record = folder.record()
        self._settings = self._record.settings
        self._reporter = reporter
        self._save_memory = save_memory or self._settings.gradient_checkpointing is GradientCheckpointing.ON
        self._store = AdapterStore(home)
        self._checkpoints = Checkpoints(folder.checkpoints)

    def run(self) -> FineTuneResult:
        """Train and publish. Raises TrainingFailed, OSError."""
        published = self._published()
        if published is not None:
            return published
        try:
            return self._train()
        except (RuntimeError, MemoryError) as error:
            if not is_memory_error(error):
                raise
            raise TrainingFailed("out_of_memory", "Memory for the training was refused.", "") from error

    def _published(self) -> FineTuneResult | None:
        """What an earlier trainer came to, if it was killed after its last word to the disk."""
        try:
            manifest = self._store.manifest(self._record.id)
        except AdapterUnknown:
            return None
        same = manifest.data_sha256 == self._record.data_sha256 and manifest.settings == self._settings
        return manifest.result if same else None

    def _train(self) -> FineTuneResult:
        torch.use_deterministic_algorithms(True, warn_only=True)
        self._phase("loading")
        self._base = find_model(self._home, self._settings.model)
        tokenizer = load_tokenizer(self._base)
        self._encoder = chat_encoder(tokenizer, self._reporter.alive)
        with self._folder.chats.open("rb") as lines:
            self._material = read_material(lines, self._settings, self._encoder, self._context_length)
        self._steps = self._whole_run()
        loaded = load_model(self._base, tokenizer, self._settings, self._save_memory)
        self._reporter.report("loaded", base_loaded_in=loaded.numbers.name, why=loaded.numbers.why)
        self._start_from_parent(loaded)
        learner = Learner(loaded, self._settings, self._reporter.alive)
        position = self._checkpoints.load(learner)
        if position is None:
            position = Position(valid_rate_before=self._probe(loaded))
        else:
            self._reporter.report("resumed", step=position.step)
        position = self._learn(learner, position)
        return self._conclude(loaded, learner, position)

    @property
    def _context_length(self) -> int:
        return self._base.manifest.context_length

    def _whole_run(self) -> int:
        settings, counts = self._settings, self._material.counts
        steps = steps_of(
            counts.train, settings.batch, settings.accumulation, settings.epochs, settings.max_steps
        )
        self._reporter.report(
            "measured",
            train=counts.train,
            validation=counts.validation,
            left_out=counts.left_out,
            steps=steps,
            evaluate_every=settings.evaluate_every,
        )
        return steps

    def _start_from_parent(self, loaded: Loaded) -> None:
        parent = self._settings.parent_adapter
        if parent is None:
            return
        try:
            stored = adapter_files.find_adapter(self._home, parent, self._base)
        except adapter_files.AdapterUnknown as error:
            raise TrainingFailed(
                "adapter_unknown",
                f"There is no adapter {parent!r} to go on from.",
                "Name one of GET /v1/adapters, or none.",
            ) from error
        except adapter_files.AdapterMismatch as error:
            raise parent_mismatch(parent, str(error)) from error
        take_parent(loaded, stored, self._settings)

    def _learn(self, learner: Learner, position: Position) -> Position:
        settings = self._settings
        saved_at = time.monotonic()
        self._phase("training")
        while True:
            if position.validations.is_due(position.step, self._steps, settings.evaluate_every):
                position = self._validated(learner, position)
                saved_at = time.monotonic()
            if position.step == self._steps:
                return position
            if position.validations.has_stalled(settings.patience):
                self._reporter.report("stopped_early", step=position.step, patience=settings.patience)
                return position
            position = self._stepped(learner, position)
            if time.monotonic() - saved_at >= settings.checkpoint_seconds:
                self._save(learner, position)
                saved_at = time.monotonic()

    def _stepped(self, learner: Learner, position: Position) -> Position:
        settings, chats, began = self._settings, self._material.train, time.monotonic()
        lengths = [len(chat.tokens) for chat in chats]
        batches = batches_of_step(
            lengths, settings.batch, settings.accumulation, settings.seed, position.step
        )
        rate = learning_rate(settings, position.step, self._steps)
        loss = learner.step(chats, batches, position.step, rate)
        self._check_finite(loss)
        indices = [index for batch in batches for index in batch]
        learnt = sum(chats[index].answer_tokens for index in indices)
        step = position.step + 1
        self._reporter.report(
            "step",
            step=step,
            epoch=step / steps_of_epoch(len(chats), settings.batch, settings.accumulation),
            loss=loss,
            learning_rate=rate,
            tokens=sum(lengths[index] for index in indices),
            answer_tokens=learnt,
            seconds=time.monotonic() - began,
        )
        return replace(position, step=step, trained_tokens=position.trained_tokens + learnt)

    def _validated(self, learner: Learner, position: Position) -> Position:
        self._phase("validating")
        began = time.monotonic()
        chats = self._material.validation
        batches = batches_in_order([len(chat.tokens) for chat in chats], self._settings.batch)
        loss = learner.loss(chats, batches)
        self._check_finite(loss)
        position = replace(position, validations=position.validations.with_loss(position.step, loss))
        self._reporter.report("validated", step=position.step, loss=loss, seconds=time.monotonic() - began)
        if position.validations.best_trained_step == position.step:
            self._checkpoints.save_best(learner, position.step)
        self._save(learner, position)
        self._phase("training")
        return position

    def _save(self, learner: Learner, position: Position) -> None:
        self._reporter.sync()
        self._checkpoints.save(learner, position)
        self._reporter.report("checkpoint", step=position.step)

    def _probe(self, loaded: Loaded) -> float | None:
        settings = self._settings
        if settings.probe is None or settings.probe.samples == 0:
            return None
        self._phase("probing")
        rate = valid_rate(
            loaded,
            self._encoder,
            self._material.held_out,
            settings.probe,
            settings.seed,
            self._context_length,
            self._reporter.alive,
        )
        self._reporter.report("probed", valid_rate=rate, samples=settings.probe.samples)
        return rate

    def _conclude(self, loaded: Loaded, learner: Learner, position: Position) -> FineTuneResult:
        validations = position.validations
        best_step, best = validations.best_trained_step, validations.best_trained
        if best_step is None or best is None:
            raise RuntimeError("a training of at least one step ended without a validation")
        self._checkpoints.load_best(learner, best_step)
        rate_after = self._probe(loaded)
        self._phase("saving")
        before, after = validations.losses[0], validations.losses[best]
        samples = 0 if self._settings.probe is None else self._settings.probe.samples
        verdict = judge(before, after, position.valid_rate_before, rate_after, samples)
        result = FineTuneResult(
            adapter=self._record.id,
            adopted=verdict.adopted,
            reason=verdict.reason,
            use=self._record.id if verdict.adopted else self._settings.parent_adapter,
            best_step=best_step,
            validation_loss_before=before,
            validation_loss_after=after,
            valid_rate_before=position.valid_rate_before,
            valid_rate_after=rate_after,
        )
        publish(
            self._store,
            loaded,
            self._base,
            self._record,
            self._material,
            result,
            position.step,
            position.trained_tokens,
        )
        return result

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingFailed(
                "non_finite",
                f"The loss became {loss}.",
                "Lower `learning_rate`, or set `precision` to `fp32`.",
            )

    def _phase(self, phase: str) -> None:
        self._reporter.report("phase", phase=phase)
