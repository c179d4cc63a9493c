"""Which attempts a runner takes on. Each refusal names the field, its value and the remedy."""

import json
import re
from typing import Any

from contracts.jobs import AttemptSpec, RunnerCapabilities
from contracts.measurements import LIMIT_RANGES
from contracts.names import MAX_HYPERPARAMETERS_BYTES, MAX_SOURCE_BYTES
from contracts.problems import problem
from sandbox_runner.datasets.errors import DatasetError
from sandbox_runner.datasets.library import Library

IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,47}")
MAX_EPOCHS = 10_000
MAX_SEED = 2**63 - 1
MAX_KEY_CHARACTERS = 256


class Refused(Exception):
    """A well-formed request asks for something impossible. Carries its problem document."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(document["detail"])
        self.document = document


def check_spec(spec: AttemptSpec, library: Library, offered: RunnerCapabilities) -> None:
    """See that this runner can take on the attempt. Raises Refused (422)."""
    _check_identity(spec)
    _check_budget(spec)
    _check_place(spec, offered)
    _check_dataset(spec, library)


def _check_identity(spec: AttemptSpec) -> None:
    for name in ("attempt_id", "evaluation_id"):
        if not IDENTIFIER.fullmatch(getattr(spec, name)):
            _refuse(name, getattr(spec, name), "must be lower-case letters, digits and _, at most 48")
    if spec.fence < 0:
        _refuse("fence", spec.fence, "must not be negative")
    for name in ("split_key", "shuffle_key"):
        if not 1 <= len(getattr(spec, name)) <= MAX_KEY_CHARACTERS:
            _refuse(name, None, f"must have 1 to {MAX_KEY_CHARACTERS} characters")
    if len(spec.source.encode("utf-8", "surrogatepass")) > MAX_SOURCE_BYTES:
        _refuse("source", None, f"has more than {MAX_SOURCE_BYTES} bytes")
    if len(json.dumps(spec.hyperparameters)) > MAX_HYPERPARAMETERS_BYTES:
        _refuse("hyperparameters", None, f"take more than {MAX_HYPERPARAMETERS_BYTES} bytes as JSON")


def _check_budget(spec: AttemptSpec) -> None:
    if not 1 <= spec.epochs <= MAX_EPOCHS:
        _refuse("epochs", spec.epochs, f"must be 1 to {MAX_EPOCHS}")
    if not 0 <= spec.seed <= MAX_SEED:
        _refuse("seed", spec.seed, f"must be 0 to {MAX_SEED}")
    if spec.train_images is not None and spec.train_images < 1:
        _refuse("train_images", spec.train_images, "must be at least 1, or null for all")
    for name, (least, most) in LIMIT_RANGES.items():
        value = getattr(spec.limits, name)
        if not least <= value <= most:  # NaN is never within
            _refuse(f"limits.{name}", value, f"must be {least:g} to {most:g}")


def _check_place(spec: AttemptSpec, offered: RunnerCapabilities) -> None:
    most_threads = offered.slots * offered.threads_per_slot
    if not 1 <= spec.threads <= most_threads:
        _refuse("threads", spec.threads, f"must be 1 to {most_threads} on this host")
    if spec.device not in offered.devices:
        _refuse("device", spec.device, f"this host offers {', '.join(offered.devices)}")
    largest = max(offered.gpu_memory_bytes, default=0)
    if spec.minimum_gpu_memory_bytes > largest:
        wanted = spec.minimum_gpu_memory_bytes
        _refuse("minimum_gpu_memory_bytes", wanted, f"the largest GPU of this host has {largest}")
    if offered.tier is None or offered.tier.strength < spec.minimum_tier.strength:
        strongest = "none" if offered.tier is None else offered.tier.value
        _refuse("minimum_tier", spec.minimum_tier.value, f"the strongest tier of this host is {strongest}")


def _check_dataset(spec: AttemptSpec, library: Library) -> None:
    try:
        pack = library.open(spec.dataset)
    except DatasetError as error:
        raise Refused(
            problem(
                422,
                "dataset_unavailable",
                str(error),
                field="dataset",
                value=spec.dataset,
                remedy="Use a dataset that `deltanas datasets list` shows as ready.",
            )
        ) from error
    count = pack.description.train_count
    if spec.train_images is not None and spec.train_images > count:
        _refuse("train_images", spec.train_images, f"{spec.dataset} has {count} training images")


def _refuse(field: str, value: object, message: str) -> None:
    raise Refused(
        problem(
            422,
            "invalid_attempt",
            f"{field}: {message}",
            field=field,
            value=value,
            remedy=f"Correct `{field}`.",
        )
    )
