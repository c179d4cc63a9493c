"""What became of a proposal's delta, cut down to what a search keeps of it. Pure.

A hostile delta has thousands of hunks and long words for each: the counts are of all of them, the reports
of the first few, the refused ones first.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from contracts.jobs import AppliedDelta, HunkReport

APPLIED = "applied"
"""The code of a delta that became a source; any other says why none did."""
NO_PROPOSAL = "no_proposal"
"""The code of a proposer that found nothing to propose."""
UNACCEPTABLE = "unacceptable"
"""The code of a delta that the applier would not even look at."""

MAX_HUNKS = 24
MAX_REPAIRS = 6
MAX_KINDS = 24
MAX_SENTENCE = 240
OTHER = "other"

_KIND = re.compile(r"[a-z][a-z0-9 +_-]{0,39}")


@dataclass(frozen=True)
class DeltaReport:
    """How a delta was understood. Every text may quote a proposer: bounded, untrusted."""

    code: str
    message: str = ""
    confidence: float = 0.0
    hunks: tuple[HunkReport, ...] = ()
    hunks_left_out: int = 0
    hunk_counts: Mapping[str, int] = field(default_factory=dict)
    """Of all hunks, by `status`, or `status/reason` where there is a reason."""
    repair_counts: Mapping[str, int] = field(default_factory=dict)
    """Of all hunks, by the kind of repair: the words before the colon of its sentence."""


def delta_report(applied: AppliedDelta) -> DeltaReport:
    """The report of an applier's answer, bounded."""
    fits = applied.status == APPLIED and applied.source is not None
    ordered = sorted(applied.hunks, key=lambda hunk: (hunk.status != "refused", hunk.number))
    kept = sorted(ordered[:MAX_HUNKS], key=lambda hunk: hunk.number)
    return DeltaReport(
        code=APPLIED if fits else _shortened(applied.reason or "unknown", 40),
        message=_shortened(applied.message),
        confidence=min(max(applied.confidence, 0.0), 1.0) if fits else 0.0,
        hunks=tuple(_bounded(hunk) for hunk in kept),
        hunks_left_out=len(applied.hunks) - len(kept),
        hunk_counts=_counted(_hunk_key(hunk) for hunk in applied.hunks),
        repair_counts=_counted(repair_kind(repair) for hunk in applied.hunks for repair in hunk.repairs),
    )


def repair_kind(sentence: str) -> str:
    """`indentation: shifted by 4` → `indentation`; `other` for a sentence without a kind."""
    kind, colon, _ = sentence[:60].partition(":")
    return kind if colon and _KIND.fullmatch(kind) else OTHER


def add_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of many counts, the largest first."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _hunk_key(hunk: HunkReport) -> str:
    status = _shortened(hunk.status, 40)
    return f"{status}/{_shortened(hunk.reason, 40)}" if hunk.reason else status


def _counted(names: Iterable[str]) -> dict[str, int]:
    """At most MAX_KINDS names; the rarer ones are counted together."""
    counted = Counter(names).most_common()
    kept = dict(counted[:MAX_KINDS])
    rest = sum(count for _, count in counted[MAX_KINDS:])
    return kept | {OTHER: kept.get(OTHER, 0) + rest} if rest else kept


def _bounded(hunk: HunkReport) -> HunkReport:
    return HunkReport(
        number=hunk.number,
        status=_shortened(hunk.status, 40),
        line=hunk.line,
        message=_shortened(hunk.message),
        reason=_shortened(hunk.reason, 40),
        repairs=tuple(_shortened(repair) for repair in hunk.repairs[:MAX_REPAIRS]),
    )


def _shortened(text: str, limit: int = MAX_SENTENCE) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
