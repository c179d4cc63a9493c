"""How a search's model goes on learning: the job after a cycle, and the adapter that the next one uses.

What is asked for depends on closed cycles and on jobs that have ended alone, so a search that is taken up
again asks for the same. A job that fails or makes the model no better ends nothing: the adapter before stays.
"""

from gateway.domain.fine_tune_plan import EliteDeltas, FineTunePlan
from gateway.domain.fine_tuning import (
    EliteSource,
    FineTuneRecord,
    FineTuneRequest,
    adapter_in_use,
    elite_pairs,
)
from gateway.domain.search import SearchRecord, derive_number
from gateway.domain.training_pairs import Hyperparameters, PairSettings
from gateway.infra.slot_journal import SlotJournal


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
        if plan is None or not plan.is_due(closed_cycle):
            return None
        jobs = self._journal.fine_tunes()
        asked = next((job for job in jobs if job.after_cycle == closed_cycle), None)
        if asked is None:
            request = self._request(plan, closed_cycle, jobs)
            if request is None:
                return None
            asked = self._journal.open_fine_tune(closed_cycle, request)
        return None if asked.state.is_terminal else asked

    def adapter(self) -> str | None:
        """What the next cycle proposes with."""
        return adapter_in_use(self._search.request.adapter, self._journal.fine_tunes())

    def _request(
        self, plan: FineTunePlan, closed_cycle: int, jobs: list[FineTuneRecord]
    ) -> FineTuneRequest | None:
        """What is to be learnt; None where there is nothing new."""
        search = self._search.request
        learnt = [job.after_cycle for job in jobs if job.result is not None and job.result.adopted]
        known_through = learnt[-1] if learnt else None
        deltas = EliteDeltas(plan.deltas)
        elites = EliteSource(self._search.id, closed_cycle, known_through, plan.replay, deltas)
        seed = derive_number("fine-tune", search.seed, closed_cycle, bits=31)
        if not elite_pairs(self._journal.slots(), search.elites, elites, seed):
            return None
        return FineTuneRequest(
            model=str(search.proposer.options["model"]),
            parent_adapter=adapter_in_use(search.adapter, jobs),
            settings={**plan.settings, "seed": seed},
            elites=elites,
            pairs=None if plan.training_pairs is None else _pair_settings(plan.training_pairs),
        )


def _pair_settings(stored: dict[str, object]) -> PairSettings:
    named = {**stored, "hyperparameters": Hyperparameters(str(stored["hyperparameters"]))}
    return PairSettings(**named)  # type: ignore[arg-type]
