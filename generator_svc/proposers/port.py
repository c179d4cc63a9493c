"""What every proposer must offer. The service streams its answers; the search loop stores them."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from contracts.proposals import Proposal, ProposalRequest


class OptionsInvalid(ValueError):
    """A proposer's `options` are not usable. Carries the field and the remedy for a problem document."""

    def __init__(self, field: str, message: str, remedy: str, value: object = None) -> None:
        super().__init__(message)
        self.field = field
        self.message = message
        self.remedy = remedy
        self.value = value


class Proposer(Protocol):
    """Answers for the slots of a request. Safe to call from several threads at a time."""

    name: str

    def check_options(self, options: Mapping[str, Any], adapter: str | None = None) -> None:
        """Raise OptionsInvalid unless `propose` could work with these options, HeldUp if it could not now.

        HeldUp is raised, too, for an adapter that does not go with the model that they name.
        """
        ...

    def propose(self, request: ProposalRequest) -> Iterator[Proposal]:
        """One answer for each slot, as they come, in any order.

        Finding nothing is a Proposal with `failure`, never an exception. Raises OptionsInvalid at once, and
        HeldUp at once or between two answers. To close the iterator is to end the work.
        """
        ...
