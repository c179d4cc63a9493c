"""The documents of the services inside tell who may call, and every problem with which they answer."""

import pytest
from fastapi.testclient import TestClient

from contracts.service_gate import OPEN_PATHS, token_digest
from filter_svc import app as filter_app
from filter_svc.config import FilterSettings
from generator_svc import app as generator_app
from generator_svc.config import GeneratorSettings
from sandbox_runner import app as runner_app
from sandbox_runner.config import RunnerSettings

DIGEST = {"service_token_sha256": token_digest("family")}
MODULES = {"filter": filter_app, "generator": generator_app, "runner": runner_app}


@pytest.fixture(params=MODULES)
def told(request, tmp_path):
    """The module of a service, and its document as it is answered."""
    made = {
        "filter": lambda: filter_app.create_app(FilterSettings(home=tmp_path, **DIGEST)),
        "generator": lambda: generator_app.create_app(GeneratorSettings(home=tmp_path, **DIGEST)),
        "runner": lambda: runner_app.create_app(
            RunnerSettings(home=tmp_path, runner_warm=0, **DIGEST), backends=[]
        ),
    }[request.param]()
    answer = TestClient(made).get("/openapi.json", headers={"authorization": "Bearer family"})
    return MODULES[request.param], answer.json()


def test_what_is_told_of_a_path_is_told_of_one_that_there_is(told):
    module, document = told
    assert {*module.MAY_ANSWER, *module.STREAMS} <= document["paths"].keys()


def test_strangers_are_refused_but_for_health(told):
    _, document = told
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert (
                ("401" in operation["responses"]) == bool(operation["security"]) == (path not in OPEN_PATHS)
            )


def test_every_refusal_is_a_problem_document(told):
    _, document = told
    refusals = [
        response["content"].keys()
        for path, operations in document["paths"].items()
        for operation in operations.values()
        for status, response in operation["responses"].items()
        if status >= "400" and path not in OPEN_PATHS
    ]
    assert refusals
    assert all(kinds == {"application/problem+json"} for kinds in refusals)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_streams_are_told_as_such(told):
    module, document = told
    for path, kind in module.STREAMS.items():
        answers = [operation["responses"].get("200", {}) for operation in document["paths"][path].values()]
        assert kind in {found for answer in answers for found in answer.get("content", {})}


def test_something_is_said_of_every_answer(told):
    _, document = told
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                said = [content["schema"] for content in response.get("content", {}).values()]
                assert all(said), (path, status)
