"""Each service has a small page of its own for Prometheus, for the family and whoever measures."""

import pytest
from fastapi.testclient import TestClient

from contracts.service_gate import token_digest
from filter_svc.app import create_app as create_filter
from filter_svc.config import FilterSettings
from generator_svc.app import create_app as create_generator
from generator_svc.config import GeneratorSettings
from sandbox_runner.app import create_app as create_runner
from sandbox_runner.config import RunnerSettings

DIGESTS = {"service_token_sha256": token_digest("family"), "metrics_token_sha256": token_digest("measuring")}


@pytest.fixture(params=["filter", "generator", "runner"])
def service(request, tmp_path):
    apps = {
        "filter": lambda: create_filter(FilterSettings(home=tmp_path, **DIGESTS)),
        "generator": lambda: create_generator(GeneratorSettings(home=None, **DIGESTS)),
        "runner": lambda: create_runner(RunnerSettings(home=tmp_path, runner_warm=0, **DIGESTS), backends=[]),
    }
    return request.param, TestClient(apps[request.param](), raise_server_exceptions=False)


def bearer(token):
    return {"authorization": f"Bearer {token}"}


def test_a_service_tells_what_it_answered(service):
    name, http = service
    http.get("/v1/nothing-of-the-kind", headers=bearer("family"))
    page = http.get("/metrics", headers=bearer("measuring")).text
    told = f'deltanas_{name}_http_requests_total{{method="GET",route="none",status="4xx"}} 1.0'
    assert told in page
    assert "nothing-of-the-kind" not in page
    assert ("deltanas_runner_free_slots" in page) == (name == "runner")


def test_the_measuring_token_opens_nothing_else(service):
    _, http = service
    assert http.get("/metrics").status_code == 401
    assert http.get("/metrics", headers=bearer("other")).status_code == 401
    assert http.get("/metrics", headers=bearer("family")).status_code == 200
    assert http.get("/v1/anything", headers=bearer("measuring")).status_code == 401
