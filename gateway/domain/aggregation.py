"""Several seeds make one measurement: the mean, and the standard error of that mean."""

import math
import statistics
from collections.abc import Iterable, Sequence

from contracts.measurements import Measurement


def mean_over_seeds(measurements: Sequence[Measurement]) -> Measurement:
    """One measurement of several. Raises ValueError when there is none.

    A single seed keeps its own (binomial) standard error; several give the spread between seeds over √n.
    Seconds and claims are means of those known; memory is the largest peak.
    """
    if not measurements:
        raise ValueError("no measurement to average")
    first = measurements[0]
    if len(measurements) == 1:
        return first
    accuracies = [m.accuracy for m in measurements]
    audits = [m.audit_accuracy for m in measurements if m.audit_accuracy is not None]
    gpu_peaks = [m.peak_gpu_memory_bytes for m in measurements if m.peak_gpu_memory_bytes is not None]
    return Measurement(
        accuracy=statistics.fmean(accuracies),
        accuracy_standard_error=statistics.stdev(accuracies) / math.sqrt(len(accuracies)),
        scored_on=first.scored_on,
        evaluated_images=first.evaluated_images,
        startup_seconds=statistics.fmean(m.startup_seconds for m in measurements),
        wall_seconds=statistics.fmean(m.wall_seconds for m in measurements),
        cpu_seconds=statistics.fmean(m.cpu_seconds for m in measurements),
        peak_memory_bytes=max(m.peak_memory_bytes for m in measurements),
        audit_accuracy=statistics.fmean(audits) if len(audits) == len(measurements) else None,
        audit_images=first.audit_images,
        peak_gpu_memory_bytes=max(gpu_peaks, default=None),
        claimed_train_seconds=_mean_known(m.claimed_train_seconds for m in measurements),
        claimed_predict_seconds=_mean_known(m.claimed_predict_seconds for m in measurements),
        claimed_parameters=first.claimed_parameters,
        claimed_train_loss=_mean_known(m.claimed_train_loss for m in measurements),
    )


def _mean_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
