"""Whether a mutated source may be proposed: the source rules, the contract, the shapes, the cost.

A mutant must be proven for every probe that its baseline is proven for, and must not be found
inconsistent for any probe that the baseline leaves undecided.
"""

from contracts.source_rules import SourceRejected, check_source
from generator_svc.proposers.mutation.subject import Subject
from generator_svc.shapes import Trace, Verdict, trace_source

MAX_GROWTH = 3.0
"""Times the baseline's multiply-adds or weights: one delta must not make a search unaffordable."""


def is_sound(source: str, baseline: Subject) -> bool:
    """Whether `source` differs, meets the rules, and stays as consistent as its baseline was."""
    try:
        checked = check_source(source)
    except SourceRejected:
        return False
    if source == baseline.source or checked.contract != baseline.contract:
        return False
    return all(
        before.verdict == Verdict.INCONSISTENT or _stays_consistent(before, trace_source(source, *probe))
        for probe, before in zip(baseline.probes, baseline.traces, strict=True)
    )


def _stays_consistent(before: Trace, after: Trace) -> bool:
    if before.verdict == Verdict.UNDECIDED:
        return after.verdict != Verdict.INCONSISTENT
    return after.verdict == Verdict.PROVEN and is_affordable(before, after)


def is_affordable(before: Trace, after: Trace) -> bool:
    """Whether a proven network costs at most MAX_GROWTH times what it did."""
    return (
        after.journal.multiply_adds <= MAX_GROWTH * before.journal.multiply_adds
        and after.journal.parameters <= MAX_GROWTH * before.journal.parameters
    )
