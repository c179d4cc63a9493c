"""Every model at every endpoint that the operator named, ready to be asked; what they share is kept here."""

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from contracts.proposals import ProposerBlocked
from generator_svc.held_up import HeldUp
from generator_svc.language_models.admission import Admission
from generator_svc.language_models.endpoints import BASE_URL, DEFAULT_ENDPOINT, ENDPOINTS, MODEL, Endpoint
from generator_svc.language_models.paid_tries import PaidTries
from generator_svc.language_models.retries import Backoff

if TYPE_CHECKING:
    from generator_svc.language_models.openai_compatible import OpenAICompatibleModel


class EndpointModels:
    """One for each process: caps hold for all its searches together. Safe for several threads."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        backoff: Backoff | None = None,
        paid: PaidTries | None = None,
    ) -> None:
        self.endpoints = endpoints
        self._paid = paid or PaidTries()
        self._backoff = backoff or Backoff()
        self._admissions = {name: Admission(endpoint) for name, endpoint in endpoints.items()}
        self._models: dict[tuple[str, str], OpenAICompatibleModel] = {}
        self._lock = threading.Lock()

    def choose(
        self, endpoint: str | None = None, model: str | None = None, adapter: str | None = None
    ) -> "OpenAICompatibleModel":
        """The model of this name at the endpoint of this name; None is the one that the operator named first.

        Asks nobody. Raises HeldUp for what the operator did not name, and for an adapter: an endpoint that
        serves one gives it a model's name.
        """
        named = self._endpoint(endpoint)
        wanted = named.model if model is None else model
        if wanted not in named.models:
            offered = ", ".join(named.models)
            raise _refused(
                "model_unknown",
                f"endpoint {named.name} does not offer the model {wanted[:200]!r}",
                f"Use one of {offered}, or add it to `models` of the endpoint in {ENDPOINTS}.",
            )
        if adapter is not None:
            raise _refused(
                "adapter_unknown",
                f"endpoint {named.name} cannot be given the adapter {adapter[:200]!r}",
                "Serve the adapter under a model's name of its own and ask for that model.",
            )
        with self._lock:
            key = (named.name, wanted)
            if key not in self._models:
                self._models[key] = self._made(named, wanted)
            return self._models[key]

    def _endpoint(self, name: str | None) -> Endpoint:
        if not self.endpoints:
            remedy = f"Set {BASE_URL} and {MODEL} and start deltanas again."
            raise _refused("endpoint_unknown", "no endpoint of a language model is set up", remedy)
        first = DEFAULT_ENDPOINT if DEFAULT_ENDPOINT in self.endpoints else next(iter(self.endpoints))
        wanted = first if name is None else name
        if wanted not in self.endpoints:
            known = ", ".join(self.endpoints)
            remedy = f"Use one of {known}, or add it to {ENDPOINTS} and start deltanas again."
            raise _refused("endpoint_unknown", f"no endpoint is named {wanted[:80]!r}", remedy)
        return self.endpoints[wanted]

    def _made(self, endpoint: Endpoint, model: str) -> "OpenAICompatibleModel":
        try:
            # Of an optional extra, and slow to import.
            from generator_svc.language_models.openai_compatible import OpenAICompatibleModel
        except ImportError as error:
            remedy = "Install deltanas with its extra `llm`: pip install 'deltanas[llm]'."
            raise _refused("not_installed", f"endpoints cannot be asked: {error}", remedy) from None
        return OpenAICompatibleModel(
            endpoint, model, self._admissions[endpoint.name], self._backoff, self._paid
        )


def _refused(code: str, message: str, remedy: str) -> HeldUp:
    return HeldUp(ProposerBlocked(code, message, remedy, retryable=False))
