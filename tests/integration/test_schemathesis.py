"""schemathesis holds services to their OpenAPI documents: no 5xx, no status or body that they do not tell of.

It makes requests that a document allows, and requests that it does not, and looks at every answer. What it
cannot guess, such as the id of something that exists, is put into two thirds of them here. The documents
leave room for fields that come later; here an object has those that it tells of and no others.
"""

from collections import Counter

import pytest
import schemathesis
from api_conformance import closed
from api_family import ApiFamily
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

ALLOWED = schemathesis.GenerationMode.POSITIVE
FORBIDDEN = schemathesis.GenerationMode.NEGATIVE
FEW, MANY = 2, 30
"""Requests of each operation. Of the few the first is as simple as can be."""
SOON = 0.01
"""Nobody waits for the end of what never ends."""

# That a search has to exist, or a data set to be known, no schema can say: 4xx is right there.
UNTOLD = [positive_data_acceptance]
GUESSED, KNOWN, PLAIN = "guessed", "known", "plain"
"""What a request names: whatever schemathesis thinks of, what is there, or that alone and nothing else."""

NEED_A_MODEL = {
    "POST /v1/fine-tunes",
    "GET /v1/fine-tunes/{job_id}",
    "DELETE /v1/fine-tunes/{job_id}",
    "GET /v1/fine-tunes/{job_id}/events",
    "GET /v1/adapters/{adapter_id}",
    "DELETE /v1/adapters/{adapter_id}",
    "GET /v1/adapters/{adapter_id}/files",
    "GET /v1/adapters/{adapter_id}/files/{name}",
}
"""Never served here: there is no language model. Unit tests hold what these answer to the document."""
NEEDS_HOURS = {"POST /v1/webhook-deliveries/{delivery_id}:replay"}
"""A delivery has failed when it was tried for as long as that."""


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
def test_a_gateway_answers_as_its_document_says_without_its_services(lonely):
    answers = tried(lonely, FEW, ALLOWED, away=True)
    assert len(answers) > 70
    assert {200, 202, 404, 422} <= set().union(*answers.values())


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_what_the_document_allows_is_answered_as_it_says(family):
    answers = tried(family, MANY, ALLOWED)
    never_served = {label for label, statuses in answers.items() if min(statuses) >= 300}
    assert never_served <= NEED_A_MODEL | NEEDS_HOURS


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_what_the_document_forbids_is_refused_as_it_says(family):
    answers = tried(family, MANY, FORBIDDEN)
    assert len(answers) > 40
    assert answers["POST /v1/evaluations"].keys() <= {400, 401, 403, 404, 415, 422}


@pytest.mark.full
@pytest.mark.slow
def test_without_a_key_nothing_opens_but_what_the_document_leaves_open(tmp_path):
    for family in started(ApiFamily(tmp_path, with_keys=True, services=())):
        family.headers = {}
        answers = tried(family, FEW, ALLOWED, away=True)
        opened = {label for label, statuses in answers.items() if statuses.keys() != {401}}
        left_open = {
            f"{method.upper()} {path}"
            for path, operations in family.document()["paths"].items()
            for method, operation in operations.items()
            if not operation["security"]
        }
        assert opened == left_open == {"GET /healthz", "GET /readyz"}


def tried(family, examples, mode, *, away=False):
    """How often each call was answered with each status. Fails with all that does not conform.

    `away`: some services are, which may be said.
    """
    told = closed(family.document())
    for operation in (found for path in told["paths"].values() for found in path.values()):
        # A key of its own making would hide what else is right or wrong.
        del operation["security"]
    document = schemathesis.openapi.from_dict(told)
    answers, failures = {}, []
    for found in document.get_all_operations():
        operation = found.ok()
        if mode is FORBIDDEN and not (operation.body or any(True for _ in operation.iter_parameters())):
            continue
        counted = Counter()
        family.replenish()
        named = st.sampled_from([PLAIN, KNOWN, GUESSED])
        hold = holding(family, mode, counted, away=away)
        try:
            bounded(examples)(given(operation.as_strategy(generation_mode=mode), named)(hold))()
        except Unsatisfiable:  # whatever is sent is allowed
            continue
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - all that is wrong is told together
            failures += [f"{operation.label}: {leaf}" for leaf in leaves(error)]
        answers[operation.label] = counted
    assert not failures, "\n\n".join(failures)
    return answers


def holding(family, mode, counted, *, away):
    """A test of one request and its answer."""

    def hold(case, named):
        if mode is ALLOWED:
            suit(case, named, family)
        response = case.call(base_url=family.url, headers=family.headers, timeout=60)
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


def suit(case, named, family):
    """Make a request such that something comes of it: what it names is there, unless it is to be guessed."""
    if "wait" in (case.query or {}):
        case.query["wait"] = SOON
    if named == GUESSED:
        return
    if named == PLAIN and case.query:
        case.query = {name: value for name, value in case.query.items() if name in family.needed_queries}
    known = family.known(case.operation.label)
    case.path_parameters = {**(case.path_parameters or {}), **known.path}
    if known.query:
        case.query = {**(case.query or {}), **known.query}
    if known.body is not None:
        is_mixed = named == KNOWN and isinstance(case.body, dict)
        case.body = case.body | known.body if is_mixed else known.body
