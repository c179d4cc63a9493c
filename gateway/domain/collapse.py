"""What a search that fine-tunes does where its proposals collapse: it learns nothing, or steps back. Pure.

An alarm of `theory.diversity` says that a cycle fell under a threshold. Few new proposals: the model learns
nothing after this cycle. Proposals ever nearer to each other, several cycles in a row: the adapter before is
used again, too, if there is one. A model that learns from its own narrow proposals gets narrower still (I.
Shumailov et al., Nature 631, 2024).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from gateway.domain.fine_tuning import FineTuneRecord
from gateway.theory.diversity import Action, Alarm, AlarmThresholds, CycleDiversity, find_alarms


@dataclass(frozen=True)
class AdapterStep:
    """An adapter of a search, and the cycle after which it was learnt; None: the search came with it."""

    adapter: str | None
    after_cycle: int | None


def alarm_to_act_on(
    course: Sequence[CycleDiversity], limits: AlarmThresholds, closed: int, rolled_back: Collection[int]
) -> Alarm | None:
    """What has to be done now that this cycle has closed; of two alarms the one that goes further.

    `rolled_back` are the cycles after which a step back was taken: the adapter before gets `lasting` cycles
    to show what it proposes before the next step back.
    """
    alarms = [alarm for alarm in find_alarms(course, limits) if alarm.cycle == closed]
    settled = all(closed - cycle >= limits.lasting for cycle in rolled_back)
    steps_back = [alarm for alarm in alarms if alarm.action is Action.ROLL_BACK_ADAPTER]
    pauses = [alarm for alarm in alarms if alarm.action is Action.PAUSE_FINE_TUNING]
    return next(iter((*steps_back, *pauses) if settled else pauses), None)


def adapter_steps(
    start: str | None, jobs: Iterable[FineTuneRecord], rolled_back: Collection[int] = ()
) -> list[AdapterStep]:
    """The adapters that still stand, the one in use last.

    A job that was not adopted, failed or was cancelled leaves the one before in place; a step back drops the
    last one, but never what the search came with.
    """
    steps = [AdapterStep(start, None)]
    ended = {job.after_cycle: job.result for job in jobs if job.result is not None}
    for cycle in sorted({*(one for one in ended if one is not None), *rolled_back}):
        result = ended.get(cycle)
        if result is not None and result.use != steps[-1].adapter:
            steps.append(AdapterStep(result.use, cycle))
        if cycle in rolled_back and len(steps) > 1:
            steps.pop()
    return steps
