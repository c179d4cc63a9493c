"""The proposers that this service knows, by the name a request gives."""

from generator_svc.language_models.endpoint_models import EndpointModels
from generator_svc.language_models.port import ChatModel
from generator_svc.proposers.language_model import LanguageModelProposer
from generator_svc.proposers.language_model.options import ModelOptions
from generator_svc.proposers.mutation import MutationProposer
from generator_svc.proposers.port import OptionsInvalid, Proposer

__all__ = ["OptionsInvalid", "Proposer", "known_proposers"]


def known_proposers(endpoints: EndpointModels | None = None) -> dict[str, Proposer]:
    """Every proposer, ready for use, by name; those that ask language models where there are any to ask."""
    proposers: list[Proposer] = [MutationProposer()]
    if endpoints is not None:
        proposers.append(_openai_compatible(endpoints))
    return {proposer.name: proposer for proposer in proposers}


def _openai_compatible(models: EndpointModels) -> Proposer:
    def choose(options: ModelOptions, adapter: str | None) -> ChatModel:
        return models.choose(options.endpoint, options.model, adapter)

    return LanguageModelProposer("openai_compatible", choose, has_endpoints=True)
