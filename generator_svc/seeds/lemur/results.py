"""What LEMUR measured of a network: files of rows, one for each epoch, reduced to the runs worth knowing.

Each row holds an accuracy and the hyperparameters of its run. Kept for each data set are the best accuracy
after one epoch, the best of all, and the hyperparameters of the best run of one epoch, or else of the best.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from contracts.jobs import ReferenceResult

MAX_RESULT_BYTES = 1024 * 1024
"""One file of rows; LEMUR's largest has 95 KB."""
MAX_HYPERPARAMETERS = 32
DATASETS = ("cifar-10", "cifar-100", "mnist", "svhn", "imagenette", "celeba-gender")
"""The image classification data sets of LEMUR that are also ours; both spell them alike."""

Hyperparameters = dict[str, float | int | str | bool]

_KEEPS_SIZE = re.compile(r"(norm|echo|complex)(_flip|)")
_SIDE_OF = {"cifar-10": 32, "cifar-100": 32, "svhn": 32, "celeba-gender": 256}
"""The size that LEMUR's transforms can name and that holds all of an image; CelebA's are 178 × 218."""
_NOT_HYPERPARAMETERS = frozenset({"accuracy", "duration", "uid"})
_PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_PARAMETER_TEXT = re.compile(r"[!-~]{1,100}")


@dataclass(frozen=True)
class ResultFile:
    """Where the rows of one network on one data set after some epochs are."""

    member: str
    dataset: str
    epoch: int


@dataclass(frozen=True)
class _Run:
    accuracy: float
    epoch: int
    hyperparameters: Hyperparameters


def reference_results(
    files: Iterable[tuple[ResultFile, bytes]], ignored: Counter[str]
) -> tuple[ReferenceResult, ...]:
    """One result for each data set, in the order of DATASETS; `ignored` counts what could not be used."""
    first: dict[str, _Run] = {}
    best: dict[str, _Run] = {}
    for file, content in sorted(files, key=lambda pair: pair[0].epoch):
        run = _best_run(file.epoch, _rows(content, ignored), ignored)
        if run is None:
            continue
        if file.epoch == 1:
            first[file.dataset] = run
        if file.dataset not in best or run.accuracy > best[file.dataset].accuracy:
            best[file.dataset] = run
    return tuple(_result(name, first.get(name), best[name]) for name in DATASETS if name in best)


def best_hyperparameters(results: Iterable[ReferenceResult]) -> Hyperparameters:
    """Those of the best run on any data set, to be used on others; none where there is no result.

    A transform that leaves the images as large as they are is given the size that the network saw them in.
    """
    ranked = sorted(results, key=lambda result: result.first_epoch_accuracy or result.best_accuracy)
    if not ranked:
        return {}
    chosen = dict(ranked[-1].hyperparameters)
    plain = _KEEPS_SIZE.fullmatch(str(chosen.get("transform", "")))
    if plain is not None and ranked[-1].dataset in _SIDE_OF:
        chosen["transform"] = f"{plain[1]}_{_SIDE_OF[ranked[-1].dataset]}{plain[2]}"
    return chosen


def _result(dataset: str, first: _Run | None, best: _Run) -> ReferenceResult:
    return ReferenceResult(
        dataset=dataset,
        first_epoch_accuracy=None if first is None else first.accuracy,
        best_accuracy=best.accuracy,
        best_epoch=best.epoch,
        hyperparameters=(first or best).hyperparameters,
    )


def _best_run(epoch: int, rows: Iterator[dict[str, Any]], ignored: Counter[str]) -> _Run | None:
    best: _Run | None = None
    for row in rows:
        accuracy = row.get("accuracy")
        if not isinstance(accuracy, float | int) or isinstance(accuracy, bool) or not 0 <= accuracy <= 1:
            ignored["accuracy_invalid"] += 1
        elif best is None or accuracy > best.accuracy:
            hyperparameters = _hyperparameters(row)
            if hyperparameters is None:
                ignored["hyperparameters_invalid"] += 1
            else:
                best = _Run(float(accuracy), epoch, hyperparameters)
    return best


def _rows(content: bytes, ignored: Counter[str]) -> Iterator[dict[str, Any]]:
    try:
        rows = json.loads(content)
    # A text of brackets alone ends the parser's recursion, digits without end its conversion.
    except (ValueError, RecursionError):
        ignored["file_not_json"] += 1
        return
    if not isinstance(rows, list):
        ignored["file_not_a_list"] += 1
        return
    for row in rows:
        if isinstance(row, dict):
            yield row
        else:
            ignored["row_invalid"] += 1


def _hyperparameters(row: dict[str, Any]) -> Hyperparameters | None:
    values = {name: value for name, value in row.items() if name not in _NOT_HYPERPARAMETERS}
    if len(values) > MAX_HYPERPARAMETERS:
        return None
    sound = all(_PARAMETER_NAME.fullmatch(name) and _is_plain(value) for name, value in values.items())
    return values if sound else None


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return _PARAMETER_TEXT.fullmatch(value) is not None
    if isinstance(value, int):
        return abs(value) <= 2**53
    return isinstance(value, float) and math.isfinite(value)
