"""Part d: what the applier makes of a real model's raw answers, each by itself, repairs too."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from deltanas.client import Client
from llm.corpus import RawAnswer, answer_id, sha256
from llm.intervals import share
from llm.plan import ShareArm
from llm.records import ANSWERS

Json = dict[str, Any]

EMPTY = "empty_answer"
_MESSAGE_CHARACTERS = 600


def raw_answers(
    client: Client, model: str, arm: ShareArm, candidates: Sequence[Json], baselines: dict[str, Json]
) -> list[RawAnswer]:
    """Every answer of an arm's proposals, applied anew over HTTP; `model` is a public id."""
    return [
        _raw_answer(client, model, arm, call, baselines[candidate["parent"]["name"]])
        for candidate in candidates
        for call in candidate["calls"]
        if call["role"] in ANSWERS
    ]


def applier_summary(answers: Sequence[RawAnswer]) -> Json:
    """How many applied, before and after learning, and by reason why the others did not."""
    return {
        "answers": len(answers),
        "different": len({one.id for one in answers}),
        "all": _summary(answers),
        "before": _summary([one for one in answers if not one.tuned]),
        "after": _summary([one for one in answers if one.tuned]),
    }


def _raw_answer(client: Client, model: str, arm: ShareArm, call: Json, baseline: Json) -> RawAnswer:
    source, text = baseline["source"], call["answer"]
    applied = client.apply_delta(text, baseline_source=source) if text.strip() else _nothing()
    result = applied["source"]
    return RawAnswer(
        id=answer_id(source, arm.form, text),
        model=model,
        tuned=arm.is_tuned,
        role=call["role"],
        prompt_version=call["prompt_version"],
        form=arm.form,
        seed=call["sampling"].get("seed"),
        finish_reason=call["finish_reason"],
        baseline=baseline["name"],
        baseline_sha256=sha256(source),
        answer=text,
        status=applied["status"],
        reason=applied["reason"] or "",
        message=(applied["message"] or "")[:_MESSAGE_CHARACTERS],
        confidence=applied["confidence"] or 0.0,
        result_sha256=None if result is None else sha256(result),
        canonical_delta=applied["canonical_delta"],
    )


def _nothing() -> Json:
    return {
        "status": "refused",
        "reason": EMPTY,
        "message": "",
        "confidence": 0.0,
        "source": None,
        "canonical_delta": None,
    }


def _summary(answers: Sequence[RawAnswer]) -> Json:
    reasons = Counter(one.reason for one in answers if one.status != "applied")
    return {
        "applied": share(sum(one.status == "applied" for one in answers), len(answers)),
        "refused": dict(sorted(reasons.items(), key=lambda found: (-found[1], found[0]))),
        "versions": sorted({one.prompt_version for one in answers}),
    }
