"""The proposers that this service knows, by the name a request gives."""

from generator_svc.proposers.mutation import MutationProposer
from generator_svc.proposers.port import OptionsInvalid, Proposer

__all__ = ["OptionsInvalid", "Proposer", "known_proposers"]


def known_proposers() -> dict[str, Proposer]:
    """Every proposer, ready for use, by name."""
    return {proposer.name: proposer for proposer in (MutationProposer(),)}
