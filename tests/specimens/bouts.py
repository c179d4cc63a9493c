"""The specimens that a run has chosen, in their arena."""

from sandbox_runner.specimens.arena import Arena, Trial, rounds_of
from sandbox_runner.specimens.catalogue import SPECIMENS
from sandbox_runner.specimens.specimen import Specimen


class Bouts:
    """Runs a round when somebody asks for the outcome of one of its specimens."""

    def __init__(self, arena: Arena, chosen: list[Specimen]) -> None:
        self.arena = arena
        self._rounds = rounds_of(chosen, SPECIMENS)
        self._trials: dict[str, Trial] = {}

    def trial_of(self, specimen: Specimen) -> Trial:
        if specimen.name not in self._trials:
            place = next(number for number, beside in enumerate(self._rounds) if specimen in beside)
            for beside in self._rounds[: place + 1]:
                if beside[0].name not in self._trials:
                    self._trials |= {trial.specimen.name: trial for trial in self.arena.run_round(beside)}
        return self._trials[specimen.name]
