"""What became of the deltas, for the report: bars by outcome, by hunk and by proposer."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway.domain.delta_reports import APPLIED, NO_PROPOSAL, UNACCEPTABLE

Json = dict[str, Any]

MEANINGS = {
    APPLIED: "the delta fits, and the result is a network",
    NO_PROPOSAL: "the proposer found nothing to change",
    UNACCEPTABLE: "the applier would not look at it at all",
    "no_diff_found": "the answer holds no unified diff",
    "no_source_found": "the answer holds no whole source",
    "truncated": "the answer breaks off in the middle of a change",
    "hunk_unplaceable": "its lines stand nowhere in the baseline",
    "ambiguous": "its lines fit in several places, and nothing is guessed",
    "syntax_error": "the result is no Python",
    "no_op": "the result is the same program",
    "contract_lost": "the result is no network any more",
    "policy_violation": "the result breaks a rule for sources",
    "forbidden_region": "it changes what this search keeps as it is",
    "too_large": "the delta or the result is too long",
    "forbidden_operator": "the result uses what this search forbids",
    "too_many_parameters": "the result has more parameters than may be deployed",
    "too_many_flops": "the result takes more FLOPs than may be deployed",
}
"""Of every code that a delta can end with."""
_HUNKS = {
    "exact": "stood where its header said, line by line",
    "moved": "stood elsewhere, and only there",
    "repaired": "was understood although it was written wrongly",
    "refused": "was not applied, and so nothing of its delta",
}
_MOST_REASONS = 3


@dataclass(frozen=True)
class Bar:
    """One bar: `share` in percent of all that is counted. `fits` colours it."""

    name: str
    meaning: str
    count: int
    share: float
    fits: bool


@dataclass(frozen=True)
class ProposerLine:
    """One proposer over all cycles."""

    name: str
    answered: int
    applied: int
    share: float
    confidence: float | None
    main_failure: str


@dataclass(frozen=True)
class DeltaOutcomes:
    """All that the section shows."""

    answered: int
    outcomes: list[Bar]
    hunks: list[Bar]
    repairs: list[tuple[str, int]]
    proposers: list[ProposerLine]


def delta_outcomes(diagnostics: Json | None) -> DeltaOutcomes | None:
    """From the JSON of `/v1/searches/{id}/diagnostics`; None before anything was proposed."""
    if not diagnostics or not diagnostics["proposals"]:
        return None
    applied = sum(record["applied"] for record in diagnostics["proposals"])
    failures = _summed(diagnostics["delta_failures"], "code")
    outcomes = [(APPLIED, applied), *failures.most_common()]
    hunks = _summed(diagnostics["hunks"], "status")
    ordered = [status for status in _HUNKS if hunks[status]]
    ordered += [status for status in hunks if status not in _HUNKS]
    return DeltaOutcomes(
        answered=sum(record["answered"] for record in diagnostics["proposals"]),
        outcomes=_bars(outcomes, MEANINGS),
        hunks=_bars([(status, hunks[status]) for status in ordered], _hunk_meanings(diagnostics["hunks"])),
        repairs=_summed(diagnostics["repairs"], "kind").most_common(),
        proposers=_proposers(diagnostics),
    )


def _summed(records: Iterable[Json], key: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for record in records:
        total[record[key]] += record["count"]
    return total


def _bars(counts: list[tuple[str, int]], meanings: dict[str, str]) -> list[Bar]:
    total = max(sum(count for _, count in counts), 1)
    return [
        Bar(
            _words(name),
            meanings.get(name, ""),
            count,
            round(100 * count / total, 1),
            name in {APPLIED, "exact", "moved", "repaired"},
        )
        for name, count in counts
    ]


def _hunk_meanings(hunks: list[Json]) -> dict[str, str]:
    """For the refused ones, why."""
    reasons = _summed((hunk for hunk in hunks if hunk["status"] == "refused" and hunk["reason"]), "reason")
    named = ", ".join(f"{count} {_words(reason)}" for reason, count in reasons.most_common(_MOST_REASONS))
    return _HUNKS | ({"refused": named} if named else {})


def _proposers(diagnostics: Json) -> list[ProposerLine]:
    names = dict.fromkeys(record["proposer"] for record in diagnostics["proposals"])
    return [_proposer_line(name, diagnostics) for name in names]


def _proposer_line(name: str, diagnostics: Json) -> ProposerLine:
    own = [record for record in diagnostics["proposals"] if record["proposer"] == name]
    answered, applied = (sum(record[key] for record in own) for key in ("answered", "applied"))
    weighed = [(r["mean_confidence"], r["applied"]) for r in own if r["mean_confidence"] is not None]
    failures = _summed((r for r in diagnostics["delta_failures"] if r["proposer"] == name), "code")
    main = failures.most_common(1)
    return ProposerLine(
        name=name or "unknown",
        answered=answered,
        applied=applied,
        share=applied / max(answered, 1),
        confidence=sum(mean * count for mean, count in weighed) / max(sum(count for _, count in weighed), 1)
        if weighed
        else None,
        main_failure=f"{_words(main[0][0])} ({main[0][1]})" if main else "",
    )


def _words(code: str) -> str:
    return "nothing proposed" if code == NO_PROPOSAL else code.replace("_", " ")
