"""schemathesis holds the services inside to their documents: generator, filter, runner; without weights."""

import httpx
import pytest
import schemathesis
from api_family import MODULES, free_port
from farm import START_SECONDS, TOKEN, Process
from hypothesis import given
from hypothesis.errors import Unsatisfiable
from processes import until
from schemathesis.checks import not_a_server_error
from test_schemathesis import ALLOWED, FORBIDDEN, UNTOLD, bounded, leaves

from contracts.service_gate import token_digest

SOME = 8
"""Requests of each operation, in each way."""
BEARER = {"authorization": f"Bearer {TOKEN}"}
LEAST = {"generator": 15, "filter": 8, "runner": 11}
"""Operations that a service has at least."""


@pytest.fixture(params=MODULES)
def service(request, tmp_path):
    """The name of a service, and its address."""
    url = f"http://127.0.0.1:{free_port()}"
    process = Process(
        MODULES[request.param],
        tmp_path,
        {
            f"DELTANAS_{request.param.upper()}_ADDRESS": url,
            "DELTANAS_SERVICE_TOKEN_SHA256": token_digest(TOKEN),
            "DELTANAS_RUNNER_WARM": "0",
        },
    )
    process.start()

    def answers():
        assert process.runs(), process.words()
        try:
            return httpx.get(f"{url}/healthz").is_success
        except httpx.TransportError:
            return False

    try:
        until(answers, START_SECONDS, process.words)
        yield request.param, url
    finally:
        process.kill()


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_service_answers_as_its_document_says(service):
    name, url = service
    shown = told(url)
    for operation in (found for path in shown["paths"].values() for found in path.values()):
        del operation["security"]  # a stranger is never told what else is wrong
    document = schemathesis.openapi.from_dict(shown)
    failures, tried = [], 0

    def hold(case):
        response = case.call(base_url=url, headers=BEARER, timeout=60)
        # No disk is full and nothing is away but a sandbox, which a runner may lack.
        is_told = response.status_code == 503
        case.validate_response(response, excluded_checks=[*UNTOLD, not_a_server_error] if is_told else UNTOLD)

    for found in document.get_all_operations():
        operation = found.ok()
        for mode in (ALLOWED, FORBIDDEN):
            try:
                bounded(SOME)(given(operation.as_strategy(generation_mode=mode))(hold))()
            except Unsatisfiable:
                continue
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - all that is wrong is told together
                failures += [f"{operation.label}, {mode.name}: {leaf}" for leaf in leaves(error)]
            tried += 1
    assert not failures, "\n\n".join(failures)
    assert tried > LEAST[name]


@pytest.mark.full
@pytest.mark.slow
def test_a_service_answers_nobody_but_its_family(service):
    _, url = service
    for path, operations in told(url)["paths"].items():
        for method, operation in operations.items():
            answer = httpx.request(method, f"{url}{path.replace('{', '').replace('}', '')}")
            assert (answer.status_code == 401) == bool(operation["security"]), (method, path)


def told(url):
    """The service's own document."""
    return httpx.get(f"{url}/openapi.json", headers=BEARER).raise_for_status().json()
