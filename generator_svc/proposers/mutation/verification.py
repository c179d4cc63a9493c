"""Whether a mutated source may be proposed: the source rules, the contract, and the shapes."""

from contracts.source_rules import SourceRejected, check_source
from generator_svc.proposers.mutation.subject import Subject


def is_sound(source: str, baseline: Subject) -> bool:
    """Whether `source` differs, meets the rules and keeps the baseline's contract."""
    try:
        checked = check_source(source)
    except SourceRejected:
        return False
    return source != baseline.source and checked.contract == baseline.contract
