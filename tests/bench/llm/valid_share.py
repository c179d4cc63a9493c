"""Part a: how many proposals train and are scored, before and after learning; and what stops the rest."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llm.intervals import paired_difference, share
from llm.plan import ShareArm
from llm.records import Outcome, ProposalRecord, taxonomy

Json = dict[str, Any]
Records = Mapping[ShareArm, Sequence[ProposalRecord]]


def kin(families: Mapping[str, str], training_families: Iterable[str]) -> set[str]:
    """Baselines, by name, whose family's name trains too, in whatever case: held out as networks alone."""
    trained = {family.casefold() for family in training_families}
    return {name for name, family in families.items() if family.casefold() in trained}


def share_summary(records: Records, kin_baselines: set[str]) -> Json:
    """Each arm's shares and failures, and how the arms differ."""
    comparisons = (
        (ShareArm.DELTA_BEFORE, ShareArm.DELTA_AFTER),
        (ShareArm.SOURCE_BEFORE, ShareArm.SOURCE_AFTER),
    )
    return {
        "arms": {arm.value: arm_summary(found, kin_baselines) for arm, found in records.items()},
        "differences": {
            after.form: paired_difference(paired(records[before], records[after]))
            for before, after in comparisons
            if before in records and after in records
        },
    }


def arm_summary(records: Sequence[ProposalRecord], kin_baselines: set[str]) -> Json:
    """Shares of all proposals that no platform fault has taken."""
    counted = [one for one in records if one.outcome.counts]
    strict = [one for one in counted if one.parent not in kin_baselines]
    parents = sorted({one.parent for one in counted})
    return {
        "valid": _share(counted),
        "valid_and_novel": share(sum(one.outcome is Outcome.VALID for one in counted), len(counted)),
        "valid_without_repair": share(
            sum(one.is_valid and one.repairs == 0 for one in counted), len(counted)
        ),
        "valid_where_no_kin_trained": _share(strict),
        "by_baseline": {
            parent: _share([one for one in counted if one.parent == parent]) for parent in parents
        },
        "lost": len(records) - len(counted),
        "cut": share(sum(one.cut for one in counted), len(counted)),
        "ends": taxonomy(counted),
    }


def paired(before: Sequence[ProposalRecord], after: Sequence[ProposalRecord]) -> list[tuple[bool, bool]]:
    """Validity of the same slot, from the same baseline by the same seed, in both arms."""
    other = {(one.cycle, one.slot, one.parent): one for one in after if one.outcome.counts}
    return [
        (one.is_valid, other[key].is_valid)
        for one in before
        if one.outcome.counts and (key := (one.cycle, one.slot, one.parent)) in other
    ]


def _share(records: Sequence[ProposalRecord]) -> Json:
    return share(sum(one.is_valid for one in records), len(records))
