"""How a search's model goes on learning: the job after a cycle, and the adapter that the next one uses.

What is asked for depends on closed cycles and on jobs that have ended alone, so a search that is taken up
again asks for the same. A job that fails or makes the model no better ends nothing: the adapter before stays.
Where the plan says so, collapsing proposals stop the learning or roll the adapter back (`domain.collapse`).
"""

from gateway.domain.collapse import AdapterStep, adapter_steps, alarm_to_act_on
from gateway.domain.fine_tune_plan import EliteDeltas, FineTunePlan
from gateway.domain.fine_tuning import (
    ChatKind,
    EliteSource,
    FineTuneRecord,
    FineTuneRequest,
    elite_pairs,
)
from gateway.domain.search import SearchRecord, derive_number
from gateway.domain.training_pairs import Hyperparameters, PairSettings
from gateway.infra.slot_journal import SlotJournal
from gateway.theory.diversity import Action

FEWEST_NEW = 2
"""New elites that a model learns from: one to train on and one to judge the training by."""


class AdapterLineage:
    """The adapters of one search, as the journal stands."""

    def __init__(self, search: SearchRecord, journal: SlotJournal) -> None:
        self._search = search
        self._journal = journal

    def learn(self, closed_cycle: int) -> FineTuneRecord | None:
        """See to it that the model has learnt after a cycle; gives the job that is still to end.

        Raises SearchNotRunning.
        """
        plan = self._search.request.fine_tune
        if plan is None or closed_cycle == 0:
            return None
        jobs = self._journal.fine_tunes()
        asked = next((job for job in jobs if job.after_cycle == closed_cycle), None)
        if asked is None:
            if self._has_collapsed(plan, closed_cycle) or not plan.is_due(closed_cycle):
                return None
            request = self._request(plan, closed_cycle, jobs)
            if request is None:
                return None
            asked = self._journal.open_fine_tune(closed_cycle, request)
        return None if asked.state.is_terminal else asked

    def adapter(self) -> str | None:
        """What the next cycle proposes with."""
        return self._steps(self._journal.fine_tunes())[-1].adapter

    def _has_collapsed(self, plan: FineTunePlan, closed_cycle: int) -> bool:
        """Whether an alarm keeps the model from learning after this cycle; it is on disk then."""
        if plan.alarms is None:
            return False
        if closed_cycle in self._journal.alarms():
            return True
        course = self._journal.diversity_course()
        alarm = alarm_to_act_on(course, plan.alarms, closed_cycle, self._rolled_back())
        if alarm is not None:
            self._journal.act_on(alarm)
        return alarm is not None

    def _rolled_back(self) -> list[int]:
        """The cycles after which the adapter before was taken up again."""
        alarms = self._journal.alarms().values()
        return [alarm.cycle for alarm in alarms if alarm.action is Action.ROLL_BACK_ADAPTER]

    def _steps(self, jobs: list[FineTuneRecord]) -> list[AdapterStep]:
        return adapter_steps(self._search.request.adapter, jobs, self._rolled_back())

    def _request(
        self, plan: FineTunePlan, closed_cycle: int, jobs: list[FineTuneRecord]
    ) -> FineTuneRequest | None:
        """What is to be learnt; None where there is nothing new, or too little of it until a later cycle."""
        search = self._search.request
        current = self._steps(jobs)[-1]
        deltas = EliteDeltas(plan.deltas)
        elites = EliteSource(self._search.id, closed_cycle, current.after_cycle, plan.replay, deltas)
        seed = derive_number("fine-tune", search.seed, closed_cycle, bits=31)
        pairs = elite_pairs(self._journal.slots(), search.elites, elites, seed)
        new = sum(pair.kind is ChatKind.ELITE for pair in pairs)
        if new == 0 or (new < FEWEST_NEW and plan.training_pairs is None):
            return None
        return FineTuneRequest(
            model=str(search.proposer.options["model"]),
            parent_adapter=current.adapter,
            settings={**plan.settings, "seed": seed},
            elites=elites,
            pairs=None if plan.training_pairs is None else _pair_settings(plan.training_pairs),
        )


def _pair_settings(stored: dict[str, object]) -> PairSettings:
    named = {**stored, "hyperparameters": Hyperparameters(str(stored["hyperparameters"]))}
    return PairSettings(**named)  # type: ignore[arg-type]
