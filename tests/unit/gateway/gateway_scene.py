"""A whole gateway in this process: real routes, guards and database; the other services are fakes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from api_conformance import Conformance
from fakes import FakeAgent, FakeFilterService, FakeFineTuner, FakeGeneratorService, FakeRunner
from fastapi.testclient import TestClient
from fresh_databases import hurried, url_in

from gateway.app import create_app
from gateway.bootstrap import open_services
from gateway.config import Settings
from gateway.infra.dataset_catalogue import DatasetCatalogue
from gateway.services import Services

TOKEN = "family-token"
SOURCE = "import torch\n\n\nclass Net(torch.nn.Module):\n    pass\n"


@dataclass
class Scene:
    """What a test can touch."""

    http: TestClient
    agent: FakeAgent
    services: Services
    generator: FakeGeneratorService
    filter: FakeFilterService
    runner: FakeRunner
    fine_tuner: FakeFineTuner

    def submit(self, http: TestClient | None = None, headers: dict | None = None, **fields) -> dict:
        body = {"source": SOURCE, "dataset": "digits", **fields}
        answer = (http or self.http).post("/v1/evaluations", json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def read(self, evaluation: dict, **query) -> dict:
        answer = self.http.get(f"/v1/evaluations/{evaluation['id']}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stored(self) -> int:
        return len(self.http.get("/v1/evaluations").json()["items"])


@contextmanager
def gateway_in(home: Path, **settings) -> Iterator[Scene]:
    """Start a gateway on a state folder, as a process would, and stop it."""
    if home.is_dir():
        settings.setdefault("database_url", url_in(home))
    generator, novelty, runner = FakeGeneratorService(), FakeFilterService(), FakeRunner()
    fine_tuner = FakeFineTuner()

    def with_fakes(chosen: Settings) -> Services:
        services = open_services(chosen)
        hurried(services.database)
        return replace(
            services,
            generator=generator,
            fine_tuning=fine_tuner,
            filter=novelty,
            runner=runner,
            datasets=DatasetCatalogue(services.database, runner),
        )

    chosen = Settings(**{"home": home, "service_token": TOKEN, "conductor": False, **settings})
    app = create_app(chosen, with_fakes)
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as http:
        # Tests change what is ready and what is counted, and look at once.
        app.state.readiness.fresh_seconds = app.state.metrics.page_seconds = 0.0
        http.event_hooks["response"].append(_conformance(chosen.keyless))
        agent = FakeAgent(http, TOKEN)
        yield Scene(http, agent, app.state.services, generator, novelty, runner, fine_tuner)


@cache
def _conformance(keyless: bool) -> Conformance:
    """Every answer of every test is held to the document; made once, since gateways are alike in it."""
    return Conformance(create_app(Settings(home="/nowhere", require_keys=not keyless)).openapi())
