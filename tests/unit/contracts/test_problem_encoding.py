import json

from contracts.problems import MAX_ERRORS, problem, validation_problem


def test_a_lone_surrogate_in_the_request_does_not_break_the_answer():
    document = problem(422, "invalid_request", "detail \ud800", field="\udfff", value="\ud800")
    document["more"] = validation_problem(
        [{"loc": ("body", "\ud800"), "msg": "bad", "input": {"a": "\ud800"}}]
    )
    assert "\\ud800" in json.dumps(document, ensure_ascii=False).encode().decode()


def test_thousands_of_mistakes_and_a_name_without_end_are_answered_briefly():
    mistakes = (
        {"loc": ("body", "k" * 10_000, i), "msg": "bad", "input": "v" * 10_000} for i in range(10_000)
    )
    document = validation_problem(mistakes)
    assert len(document["errors"]) == MAX_ERRORS
    assert len(json.dumps(document)) < 20_000
    assert document["field"].startswith("kkk")
