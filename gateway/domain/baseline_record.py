"""An imported network as the catalogue shows it: what came with it, and how it did here. Pure data."""

from dataclasses import dataclass

from contracts.jobs import BaselineNetwork


@dataclass(frozen=True)
class SmokeStatus:
    """How a network last did in a smoke evaluation on one dataset."""

    dataset: str
    passed: bool
    failure: dict[str, object] | None
    claimed_parameters: int | None
    environment_digest: str


@dataclass(frozen=True)
class CataloguedBaseline:
    """An imported network with how it did here. In lists its source is empty and not read."""

    network: BaselineNetwork
    digest: str
    candidate_id: str
    smokes: tuple[SmokeStatus, ...]

    @property
    def parameters(self) -> int | None:
        """The network's own word, from the last smoke evaluation that it passed."""
        claims = [status.claimed_parameters for status in self.smokes]
        return next((claim for claim in claims if claim is not None), None)

    def is_usable_on(self, dataset: str) -> bool:
        """Whether it passed a smoke evaluation on the dataset."""
        return any(status.passed and status.dataset == dataset for status in self.smokes)


@dataclass(frozen=True)
class Facet:
    """One value that a filter can have, and how many networks have it."""

    value: str
    networks: int
