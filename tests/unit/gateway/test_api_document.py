"""The OpenAPI document says something of every answer: no object of which nothing is known."""

import pytest
from api_conformance import JSON_KINDS, METHODS, schemas_in, validator

from gateway.app import create_app
from gateway.config import Settings
from gateway.routes import searches, training_hosts

OPEN = {
    ("ProposerChoice", "options"): "a proposer's own",
    ("ProblemDocument", "value"): "whatever was sent",
    ("FieldError", "value"): "whatever was sent",
}
"""What cannot be known, by schema and field, and why."""


@pytest.fixture(scope="module", params=[False, True], ids=["keyless", "with keys"])
def document(request) -> dict:
    return create_app(Settings(home="/nowhere", require_keys=request.param)).openapi()


def operations(document: dict):
    for path, told in document["paths"].items():
        for method in METHODS:
            if method in told:
                yield f"{method.upper()} {path}", told[method]


def answers(document: dict):
    for called, operation in operations(document):
        for status, response in operation["responses"].items():
            for kind, content in response.get("content", {}).items():
                yield f"{called}, {status}", kind, content


def reachable(document: dict, schema: dict, found: dict[str, dict]) -> dict[str, dict]:
    """Components that a schema refers to, by name, however far."""
    for part in schemas_in(schema):
        name = part.get("$ref", "").rpartition("/")[2]
        if name and name not in found:
            found[name] = document["components"]["schemas"][name]
            reachable(document, found[name], found)
    return found


def holes(name: str, schema: dict) -> list[str]:
    """Places in a schema of which it says nothing."""
    found = []
    for part in schemas_in(schema):
        for field, told in part.get("properties", {}).items():
            if (name, field) not in OPEN and is_untyped(told):
                found.append(f"{name}.{field}")
    return found


def is_untyped(schema: dict) -> bool:
    if any(key in schema for key in ("$ref", "enum", "const")):
        return False
    if "anyOf" in schema:
        return any(is_untyped(part) for part in schema["anyOf"])
    if schema.get("type") == "array":
        return any(is_untyped(part) for part in schema.get("prefixItems", [schema.get("items", {})]))
    if schema.get("type") == "object" and "properties" not in schema:
        values = schema.get("additionalProperties", True)
        return values is True or is_untyped(values)
    return "type" not in schema


def test_no_answer_is_an_object_of_which_nothing_is_known(document):
    untyped, components = [], {}
    for called, kind, content in answers(document):
        if kind not in JSON_KINDS:
            continue
        if is_untyped(content["schema"]):
            untyped.append(called)
        reachable(document, content["schema"], components)
    assert len(components) > 80
    assert not untyped
    assert not [hole for name, schema in components.items() for hole in holes(name, schema)]


def test_every_operation_says_what_it_answers_when_all_is_well(document):
    for called, operation in operations(document):
        good = [response for status, response in operation["responses"].items() if status.startswith("2")]
        assert good, called
        assert operation["description"], called
        assert all(
            response.get("content") for response in good if response is not operation["responses"].get("204")
        )


def test_every_problem_is_a_problem_document(document):
    for called, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "400" and (called, status) != ("GET /readyz", "503"):
                schema = response["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ProblemDocument"}, (called, status)


def test_every_schema_says_what_it_is(document):
    schemas = document["components"]["schemas"]
    assert not [name for name, schema in schemas.items() if schema and not schema.get("description")]


def test_every_example_is_one(document):
    examples = 0
    for name, schema in document["components"]["schemas"].items():
        for part in schemas_in(schema):
            for example in part.get("examples", ()):
                problems = list(validator(document, part).iter_errors(example))
                assert not problems, (name, example, problems)
                examples += 1
    assert examples > 100


def test_nothing_is_told_of_that_nobody_is_answered(document):
    text = str(document["paths"]) + str(document["components"])
    unused = [name for name in document["components"]["schemas"] if f"schemas/{name}'" not in text]
    assert not unused


def test_no_route_is_made_anew_when_an_application_is_first_asked():
    taken = {id(route) for route in create_app(Settings(home="/nowhere")).routes}
    made = {id(route) for route in [*searches.router.routes, *training_hosts.router.routes]}
    assert made <= taken
