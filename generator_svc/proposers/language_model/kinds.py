"""The proposers that language models make, by where a model runs; which ones there are, the operator says."""

from generator_svc.language_models.endpoint_models import EndpointModels
from generator_svc.language_models.local import LocalModels
from generator_svc.language_models.paid_tries import PaidTries
from generator_svc.language_models.port import ChatModel
from generator_svc.proposers.language_model.options import ModelOptions
from generator_svc.proposers.language_model.proposer import LanguageModelProposer
from generator_svc.proposers.port import OptionsInvalid

MOST_NAMED = 8


def openai_compatible(models: EndpointModels, paid: PaidTries | None = None) -> LanguageModelProposer:
    """Asks a model at an endpoint."""

    def choose(options: ModelOptions, adapter: str | None) -> ChatModel:
        return models.choose(options.endpoint, options.model, adapter)

    return LanguageModelProposer("openai_compatible", choose, paid, has_endpoints=True)


def local_llm(models: LocalModels, paid: PaidTries | None = None) -> LanguageModelProposer:
    """Asks a model on this machine, with an adapter where the request names one."""

    def choose(options: ModelOptions, adapter: str | None) -> ChatModel:
        return models.model(options.model or _only_one(models.names()), adapter)

    return LanguageModelProposer("local_llm", choose, paid, learnt_version=models.learnt_version)


def _only_one(names: list[str]) -> str:
    """The local model that a request means which names none."""
    if len(names) != 1:
        there = f"there are {', '.join(names[:MOST_NAMED])}" if names else "none has been added yet"
        raise OptionsInvalid(
            "options.model",
            f"is needed: of local models, {there}",
            "Name one that `deltanas models list` shows; `deltanas models add` adds one.",
        )
    return names[0]
