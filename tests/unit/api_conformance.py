"""Holds every answer of a test to the OpenAPI document of the gateway that gave it.

The document leaves room for fields that come later; here an object has the fields that it tells of and no
others, so that an answer cannot say what the document keeps to itself.
"""

import copy
import json
import re
from functools import cache

from jsonschema_rs import Draft202012Validator

JSON_KINDS = ("application/json", "application/problem+json")
METHODS = ("get", "post", "put", "patch", "delete")


class Conformance:
    """An event hook of a client: fails with an answer that the document does not tell of."""

    def __init__(self, document: dict) -> None:
        self._document = closed(document)
        self._operations = [
            (method.upper(), _pattern(path), path, operation)
            for path, operations in self._document["paths"].items()
            for method, operation in operations.items()
            if method in METHODS
        ]
        self.seen: set[tuple[str, str, int]] = set()
        self._validator = cache(self._new_validator)

    def __call__(self, response) -> None:
        """An answer came. What no operation of the document was asked for is passed over."""
        found = self._operation(response.request.method, response.request.url.path)
        if found is None or response.status_code == 405:
            return
        method, path, operation = found
        called = f"{method} {path}"
        status = str(response.status_code)
        assert status in operation["responses"], (
            f"{called} answers {status}, and its document does not say so"
        )
        self.seen.add((method, path, response.status_code))
        content = operation["responses"][status].get("content", {})
        kind = response.headers.get("content-type", "").partition(";")[0]
        assert kind in content or not (kind or content), f"{called} answers {status} as {kind or 'nothing'}"
        if kind in JSON_KINDS and response.request.method != "HEAD":
            response.read()
            errors = [
                f"{'.'.join(map(str, error.instance_path))}: {error.message[:300]}"
                for error in self._validator(method, path, status, kind).iter_errors(
                    json.loads(response.content)
                )
            ]
            assert not errors, f"{called}, {status}: {errors[:5]}"

    def _operation(self, method: str, path: str):
        asked = "GET" if method == "HEAD" else method
        for told, pattern, template, operation in self._operations:
            if told == asked and pattern.fullmatch(path):
                return told, template, operation
        return None

    def _new_validator(self, method: str, path: str, status: str, kind: str) -> Draft202012Validator:
        content = self._document["paths"][path][method.lower()]["responses"][status]["content"]
        return validator(self._document, content[kind].get("schema", {}))


def validator(document: dict, schema: dict) -> Draft202012Validator:
    """Of a schema that may refer to the document's components."""
    return Draft202012Validator({**schema, "components": document["components"]}, validate_formats=True)


def closed(document: dict) -> dict:
    """The document, where an object has no fields but those that are told."""
    made = copy.deepcopy(document)
    for schema in schemas_in(made["components"]["schemas"]):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return made


def schemas_in(node):
    """Every schema in a part of a document, however deep."""
    if isinstance(node, list):
        for part in node:
            yield from schemas_in(part)
    elif isinstance(node, dict):
        yield node
        for name, part in node.items():
            if name not in {"examples", "default", "enum", "const"}:
                yield from schemas_in(part)


def _pattern(path: str) -> re.Pattern:
    """What paths of a template look like; a baseline's name may have a slash."""
    parts = re.split(r"\{(\w+)\}", path)
    loose = path.startswith("/v1/baselines/{")
    return re.compile(
        "".join(
            re.escape(part) if place % 2 == 0 else ".+" if loose else "[^/]+"
            for place, part in enumerate(parts)
        )
    )
