"""What the loop asks of the services around it; `gateway.infra.service_clients` answers over HTTP.

Every call may raise ServiceUnavailable (come again later) or ServiceRefused (this will never work).
"""

from collections.abc import Iterator
from typing import Protocol

from contracts.jobs import Admission, AppliedDelta, Screening, ScreeningRequest
from contracts.proposals import (
    AnswerForm,
    DataShape,
    DeploymentLimits,
    EditPermissions,
    Proposal,
    ProposalRequest,
)


class GeneratorService(Protocol):
    """Proposes deltas and applies them."""

    def propose(self, request: ProposalRequest) -> Iterator[Proposal | None]:
        """One proposal for each slot of the request, as they arrive, in any order; None: it takes its time.

        Whoever iterates no further lets go of what is not made yet. Raises ProposerHeldUp between two of
        them when what the proposer depends on is away.
        """
        ...

    def apply_delta(
        self,
        baseline_source: str,
        answer: str,
        edits: EditPermissions,
        form: AnswerForm,
        deployment: DeploymentLimits,
        *,
        dataset: str | None,
        data_shape: DataShape | None,
    ) -> AppliedDelta:
        """A candidate's source, or a precise refusal. `answer` is a proposer's, as it came."""
        ...

    def readiness_problems(self) -> list[str]:
        """Why it is not ready; empty when it is."""
        ...


class NoveltyFilter(Protocol):
    """Says whether an architecture is new within a scope."""

    def screen(self, request: ScreeningRequest) -> Screening:
        """Compare a source with its scope, itself left out."""
        ...

    def admit(self, proposal_id: str, admission: Admission) -> None:
        """Add an architecture to its scope. Idempotent."""
        ...

    def forget(self, scope: str) -> None:
        """Drop a scope."""
        ...

    def count(self, scope: str) -> int:
        """How many architectures a scope holds."""
        ...

    def readiness_problems(self) -> list[str]:
        """Why it is not ready; empty when it is."""
        ...
