"""The proposers that language models make, by where a model runs; which ones there are, the operator says."""

from generator_svc.language_models.endpoint_models import EndpointModels
from generator_svc.language_models.port import ChatModel
from generator_svc.proposers.language_model.options import ModelOptions
from generator_svc.proposers.language_model.proposer import LanguageModelProposer


def openai_compatible(models: EndpointModels) -> LanguageModelProposer:
    """Asks a model at an endpoint."""

    def choose(options: ModelOptions, adapter: str | None) -> ChatModel:
        return models.choose(options.endpoint, options.model, adapter)

    return LanguageModelProposer("openai_compatible", choose, has_endpoints=True)
