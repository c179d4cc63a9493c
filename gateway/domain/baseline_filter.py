"""Which baselines somebody asks for. Pure: the catalogue turns it into a query."""

from dataclasses import dataclass

from contracts.jobs import BaselineNetwork
from contracts.names import SourceContract

SHIPPED_ORIGIN = "deltanas"
IMPORT_ORIGINS = ("lemur",)
"""Collections that can be imported; an imported network's name starts with its origin and a slash."""


@dataclass(frozen=True)
class BaselineFilter:
    """Every field narrows the choice; None does not. Accuracies are fractions in [0, 1]."""

    origin: str | None = None
    recorded_on: str | None = None
    """A dataset that the network's authors have a result on; the accuracies below are on it."""
    family: str | None = None
    """Upper and lower case are the same."""
    accuracy_at_least: float | None = None
    """After one epoch, as recorded by others."""
    accuracy_at_most: float | None = None
    parameters_at_most: int | None = None
    """Known only of networks that passed a smoke evaluation."""
    contract: SourceContract | None = None
    usable_on: str | None = None
    """A dataset that the network passed a smoke evaluation on."""
    name_contains: str | None = None
    """Upper and lower case are the same."""

    def admits_shipped(self, network: BaselineNetwork) -> bool:
        """Whether a shipped baseline is asked for: nothing is recorded of it, and it is usable everywhere."""
        needs_a_record = (
            self.recorded_on,
            self.accuracy_at_least,
            self.accuracy_at_most,
            self.parameters_at_most,
        )
        return (
            self.origin in {None, SHIPPED_ORIGIN}
            and all(wanted is None for wanted in needs_a_record)
            and (self.family is None or self.family.lower() == network.family.lower())
            and (self.contract is None or self.contract == network.contract)
            and (self.name_contains is None or self.name_contains.lower() in network.name.lower())
        )


def is_imported_name(name: str) -> bool:
    """Whether a name is an imported network's, such as `lemur/ResNet`; shipped ones have no slash."""
    return "/" in name
