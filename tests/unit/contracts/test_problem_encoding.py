import json

from contracts.problems import problem, validation_problem


def test_a_lone_surrogate_in_the_request_does_not_break_the_answer():
    document = problem(422, "invalid_request", "detail \ud800", field="\udfff", value="\ud800")
    document["more"] = validation_problem(
        [{"loc": ("body", "\ud800"), "msg": "bad", "input": {"a": "\ud800"}}]
    )
    assert "\\ud800" in json.dumps(document, ensure_ascii=False).encode().decode()
