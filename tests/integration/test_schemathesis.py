"""schemathesis holds the gateway to its OpenAPI document: no 5xx, no status or body that it does not tell of.

It makes requests that the document allows, and requests that it does not, and looks at every answer. What it
cannot guess, such as the id of something that exists, is put into half of them here.
"""

from collections import Counter

import pytest
import schemathesis
from api_family import SOURCE, ApiFamily
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

ALLOWED = schemathesis.GenerationMode.POSITIVE
FORBIDDEN = schemathesis.GenerationMode.NEGATIVE
FEW, MANY = 2, 40
SOON = 0.01
"""Nobody waits for the end of what never ends."""

EVALUATION = {"source": SOURCE, "dataset": "digits"}
USEFUL = {**EVALUATION, "items": [EVALUATION, {}], "url": "http://127.0.0.1:9/", "callback_url": None}
# That a search has to exist, or a data set to be known, no schema can say: 4xx is right there.
UNTOLD = [positive_data_acceptance]


@pytest.fixture(scope="module", params=["without keys", "with keys"])
def family(request, tmp_path_factory):
    yield from started(ApiFamily(tmp_path_factory.mktemp("family"), with_keys=request.param == "with keys"))


@pytest.fixture(scope="module")
def lonely(tmp_path_factory):
    """A gateway without the other services."""
    yield from started(ApiFamily(tmp_path_factory.mktemp("lonely"), services=()))


def started(family):
    try:
        yield family.start()
    finally:
        family.close()


@pytest.mark.timeout(900)
def test_a_gateway_answers_as_its_document_says_with_and_without_its_services(lonely):
    answers = tried(lonely, FEW, ALLOWED, away=True)
    assert len(answers) > 70
    assert {200, 202, 404, 422} <= set().union(*answers.values())


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_the_document_allows_is_answered_as_it_says(family):
    answers = tried(family, MANY, ALLOWED)
    served = [label for label, statuses in answers.items() if min(statuses) < 300]
    assert len(served) > len(answers) / 2, answers


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_the_document_forbids_is_refused_as_it_says(family):
    answers = tried(family, MANY, FORBIDDEN)
    assert answers["POST /v1/evaluations"].keys() <= {400, 401, 403, 404, 415, 422}


@pytest.mark.full
@pytest.mark.slow
def test_without_a_key_nothing_opens_but_what_the_document_leaves_open(tmp_path):
    for family in started(ApiFamily(tmp_path, with_keys=True, services=())):
        family.headers = {}
        answers = tried(family, FEW, ALLOWED, away=True)
        opened = {label for label, statuses in answers.items() if statuses.keys() != {401}}
        assert opened == {"GET /healthz", "GET /readyz"}


def tried(family, examples, mode, *, away=False):
    """How often each call was answered with each status. Fails with all that does not conform.

    `away`: some services are, which may be said.
    """
    document = schemathesis.openapi.from_url(f"{family.url}/openapi.json")
    answers, failures = {}, []
    for found in document.get_all_operations():
        operation = found.ok()
        if mode is FORBIDDEN and not (operation.body or any(True for _ in operation.iter_parameters())):
            continue
        counted = answers[operation.label] = Counter()

        hold = holding(family, mode, counted, away=away)
        try:
            bounded(examples)(given(operation.as_strategy(generation_mode=mode), st.booleans())(hold))()
        except Exception as error:  # noqa: BLE001 - all that is wrong is told together
            failures += [f"{operation.label}: {leaf}" for leaf in leaves(error)]
    assert not failures, "\n\n".join(failures)
    return answers


def holding(family, mode, counted, *, away):
    """A test of one request and its answer."""

    def hold(case, known):
        if mode is ALLOWED:
            suit(case, known, family)
        response = case.call(headers=family.headers, timeout=60)
        counted[response.status_code] += 1
        is_told = response.status_code == 503 and (away or case.path == "/readyz")
        case.validate_response(response, excluded_checks=[*UNTOLD, not_a_server_error] if is_told else UNTOLD)

    return hold


def bounded(examples):
    """The same few examples each time, and no search for a smaller one: it would ask for minutes."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def leaves(error):
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for inner in error.exceptions for leaf in leaves(inner)]


def suit(case, known, family):
    """Make a request such that something comes of it: what it names is there, if it is `known`."""
    if "wait" in (case.query or {}):
        case.query["wait"] = SOON
    if not known:
        return
    parameters = case.path_parameters or {}
    for name in parameters:
        # What has not ended would be followed for ever.
        follows = case.path.endswith("/events")
        there = family.ended.get(case.path.split("/")[2]) if follows else family.known.get(name)
        parameters[name] = there or parameters[name]
    if isinstance(case.body, dict):
        case.body |= {name: value for name, value in USEFUL.items() if name in fields_of(case.operation)}


def fields_of(operation):
    schema = operation.definition.raw["requestBody"]["content"]["application/json"]["schema"]
    model = schema["$ref"].rpartition("/")[2]
    return operation.schema.raw_schema["components"]["schemas"][model]["properties"]
