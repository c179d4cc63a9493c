"""What an agent reads through the tools of `deltanas mcp`: bounded, and candidates' words marked as such.

A search quotes what models and candidates wrote: sources, summaries, error messages. To a language model that
reads them they could look like instructions, so each is wrapped: {"untrusted": "..."}.
"""

import unicodedata
from typing import Any

Json = dict[str, Any]

MAX_SOURCE_CHARACTERS = 64 * 1024
MAX_SENTENCE_CHARACTERS = 600
MAX_DIFFERENCE_CHARACTERS = 4000
MAX_HISTORY = 20
MAX_HUNKS = 12

_CANDIDATE_FACTS = (
    "proposal_id",
    "cycle",
    "slot",
    "state",
    "proposer",
    "delta_code",
    "accuracy",
    "accuracy_standard_error",
    "cpu_seconds",
    "claimed_parameters",
    "plausible",
    "likeness",
    "selection_score",
    "elite",
)
_TASK_FACTS = (
    "task_id",
    "search_id",
    "proposal_id",
    "cycle",
    "slot",
    "seed",
    "dataset",
    "evaluation",
    "edits",
    "deployment",
    "lease_seconds",
    "lease_expires_at",
)


def untrusted(text: object, limit: int = MAX_SENTENCE_CHARACTERS) -> Json | None:
    """Words of a candidate or a model: bounded, without control characters, marked; None for none."""
    if not text:
        return None
    words = str(text)
    kept = "".join(character for character in words[:limit] if _is_plain(character))
    return {"untrusted": kept, **({"cut_off": True} if len(words) > limit else {})}


def _is_plain(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co"}


def search_line(search: Json) -> Json:
    """A search in a list."""
    best = search.get("best") or {}
    return {
        "search_id": search["id"],
        "name": untrusted(search["name"]),
        "state": search["state"],
        "dataset": search["request"]["dataset"],
        "proposer": search["request"]["proposer"]["kind"],
        "cycle": search["progress"]["cycle"],
        "cycles": search["progress"]["cycles"],
        "waiting_for": untrusted(search["progress"]["waiting_for"]),
        "best_accuracy": best.get("accuracy"),
    }


def leaderboard(search: Json, candidates: list[Json], rows: int) -> Json:
    """The best of a search, its baselines, and how many came how far."""
    measured = [one for one in candidates if one.get("accuracy") is not None]
    measured.sort(key=lambda one: (-one["accuracy"], one["proposal_id"]))
    return {
        **search_line(search),
        "funnel": search["funnel"],
        "best": [candidate_line(one) for one in measured[:rows]],
        "baselines": [candidate_line(one) for one in measured if one["cycle"] == 0][:rows],
        "final": _final(search.get("final")),
    }


def _final(final: Json | None) -> Json | None:
    if not final:
        return None
    facts = ("mean_gain", "gain_interval", "confidence", "scored_on", "note")
    winner = final.get("winner") or {}
    return {"winner": winner.get("proposal_id"), **{fact: final.get(fact) for fact in facts}}


def candidate_line(candidate: Json) -> Json:
    """A candidate without its long texts."""
    failure, parent = candidate.get("failure"), candidate.get("parent")
    return {
        **{fact: candidate.get(fact) for fact in _CANDIDATE_FACTS},
        "name": candidate.get("name"),
        "parent": parent and parent["proposal_id"],
        "summary": untrusted(candidate.get("summary")),
        "failure": failure
        and {
            "reason": failure["reason"],
            "code": failure.get("code") or None,
            "message": untrusted(failure["message"]),
        },
    }


def verdict(candidate: Json, with_source: bool) -> Json:
    """What became of a proposal, hunk by hunk where it was refused."""
    report = candidate.get("delta_report") or {}
    told: Json = {**candidate_line(candidate), "hunks": _hunks(report.get("hunks") or [])}
    if candidate.get("difference"):
        told["difference"] = untrusted("\n".join(candidate["difference"]), MAX_DIFFERENCE_CHARACTERS)
    if with_source:
        told["source"] = untrusted(candidate.get("source"), MAX_SOURCE_CHARACTERS)
    return told


def _hunks(hunks: list[Json]) -> list[Json]:
    refused_first = sorted(hunks, key=lambda hunk: (hunk["status"] != "refused", hunk["number"]))
    return [
        {
            "number": hunk["number"],
            "status": hunk["status"],
            "line": hunk.get("line"),
            "reason": hunk.get("reason") or None,
            "message": untrusted(hunk.get("message")),
        }
        for hunk in refused_first[:MAX_HUNKS]
    ]


def task(document: Json) -> Json:
    """A task to propose for."""
    baseline = document["baseline"]
    return {
        **{fact: document.get(fact) for fact in _TASK_FACTS},
        "baseline": {
            "proposal_id": baseline["proposal_id"],
            "name": baseline["name"],
            "accuracy": baseline["accuracy"],
            "source": untrusted(baseline["source"], MAX_SOURCE_CHARACTERS),
        },
        "history": [
            {part: untrusted(past[part]) for part in ("problem", "change", "outcome")}
            for past in document["history"][-MAX_HISTORY:]
        ],
        "prompt": document["prompt"],
    }


def applied(answer: Json, with_source: bool) -> Json:
    """Whether a delta fits, and what would come of it."""
    return {
        "status": answer["status"],
        "reason": answer.get("reason") or None,
        "message": untrusted(answer.get("message")),
        "confidence": answer.get("confidence"),
        "hunks": _hunks(answer.get("hunks") or []),
        "canonical_delta": untrusted(answer.get("canonical_delta"), MAX_SOURCE_CHARACTERS),
        "source": untrusted(answer.get("source"), MAX_SOURCE_CHARACTERS) if with_source else None,
    }


def evaluation(document: Json) -> Json:
    """One evaluation: where it is, what was measured, or why nothing could be."""
    failure = document.get("failure")
    return {
        "evaluation_id": document["id"],
        "state": document["state"],
        "measurement": document.get("measurement"),
        "isolation": (document.get("isolation") or {}).get("tier"),
        "flags": document.get("flags"),
        "failure": failure
        and {
            "reason": failure["reason"],
            "phase": failure.get("phase"),
            "resource": failure.get("resource"),
            "message": untrusted(failure["message"]),
            "remedy": failure.get("remedy"),
        },
    }


def novelty(answer: Json) -> Json:
    """Whether a source is new, and what is nearest to it."""
    return {
        "novel": answer["novel"],
        "layer": answer["layer"],
        "nearest": [
            {"id": near["id"], "jaccard": near["jaccard"], "label": untrusted(near.get("label"))}
            for near in answer["nearest"][:5]
        ],
        "difference": untrusted("\n".join(answer["difference"]), MAX_DIFFERENCE_CHARACTERS),
    }
