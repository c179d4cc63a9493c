"""The mutation proposer: semantic changes on the syntax tree, seeded, without a language model."""

from generator_svc.proposers.mutation.proposer import MutationProposer

__all__ = ["MutationProposer"]
