"""The proposers that this service knows, by the name a request gives."""

from generator_svc.language_models.endpoint_models import EndpointModels
from generator_svc.language_models.local import LocalModels
from generator_svc.language_models.paid_tries import PaidTries
from generator_svc.proposers.language_model.kinds import local_llm, openai_compatible
from generator_svc.proposers.mutation import MutationProposer
from generator_svc.proposers.port import OptionsInvalid, Proposer

__all__ = ["OptionsInvalid", "Proposer", "known_proposers"]


def known_proposers(
    endpoints: EndpointModels | None = None,
    local: LocalModels | None = None,
    paid: PaidTries | None = None,
) -> dict[str, Proposer]:
    """Every proposer, ready for use, by name; those that ask language models where there are any to ask."""
    proposers: list[Proposer] = [MutationProposer()]
    if endpoints is not None:
        proposers.append(openai_compatible(endpoints, paid))
    if local is not None:
        proposers.append(local_llm(local, paid))
    return {proposer.name: proposer for proposer in proposers}
