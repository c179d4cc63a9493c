"""What a source must still be after a change: parsable, a network of the same contract, and another one."""

import ast
from collections.abc import Callable
from functools import lru_cache

from contracts.failures import FailureReason
from contracts.names import MAX_SOURCE_BYTES
from contracts.proposals import EditPermissions
from contracts.source_rules import CheckedSource, SourceRejected, check_source
from generator_svc.deltas.permissions import forbidden_change
from generator_svc.deltas.refusals import DeltaRefused, RefusalReason

REASONS = {
    FailureReason.SYNTAX_ERROR: RefusalReason.SYNTAX_ERROR,
    FailureReason.CONTRACT_VIOLATION: RefusalReason.CONTRACT_LOST,
    FailureReason.POLICY_VIOLATION: RefusalReason.POLICY_VIOLATION,
}


REMEMBERED_BASELINES = 8
"""A cycle applies many deltas to few baselines."""

_checked_once = lru_cache(maxsize=1)(check_source)
"""A result is parsed to be understood and once more to be checked: the second time costs nothing."""


def parses(source: str) -> bool:
    """Whether a result is Python, as far as its size lets it be looked at."""
    try:
        _checked_once(source)
    except SourceRejected as error:
        return error.reason is not FailureReason.SYNTAX_ERROR
    return True


@lru_cache(maxsize=REMEMBERED_BASELINES)
def check_baseline(source: str) -> CheckedSource:
    """The baseline must be a network itself. Raises DeltaRefused."""
    return _checked(source, "the baseline", "send a baseline that is an architecture source", check_source)


def check_result(baseline: CheckedSource, source: str) -> None:
    """Raises DeltaRefused: too_large, syntax_error, contract_lost, policy_violation, no_op."""
    result = _checked(source, "the result", "correct the added lines", _checked_once)
    if result.contract is not baseline.contract:
        raise DeltaRefused(
            RefusalReason.POLICY_VIOLATION,
            f"the change turns a {baseline.contract} network into a {result.contract} one by adding or "
            "removing `Net.learn`; leave `learn` as it is",
        )
    if same_code(baseline.tree, result.tree):
        raise DeltaRefused(
            RefusalReason.NO_OP,
            "the answer changes no code, only comments or layout at most; change the network",
        )


def check_permissions(baseline: str, result: str, edits: EditPermissions) -> None:
    """Raises DeltaRefused (forbidden_region)."""
    if not (edits.only or edits.never):
        return
    change = forbidden_change(baseline, result, edits)
    if change is not None:
        raise DeltaRefused(RefusalReason.FORBIDDEN_REGION, change.message)


def same_code(first: object, second: object) -> bool:
    """Whether two syntax trees are equal, positions aside; ends at the first difference."""
    pending = [(first, second)]
    while pending:
        one, other = pending.pop()
        if one is other:
            continue
        if type(one) is not type(other):
            return False
        if isinstance(one, ast.AST) and isinstance(other, ast.AST):
            pending.extend((getattr(one, name, None), getattr(other, name, None)) for name in one._fields)
        elif isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            pending.extend(zip(one, other, strict=True))
        elif one != other:
            return False
    return True


def _checked(source: str, what: str, remedy: str, check: Callable[[str], CheckedSource]) -> CheckedSource:
    if len(source) > MAX_SOURCE_BYTES or len(source.encode(errors="surrogatepass")) > MAX_SOURCE_BYTES:
        raise DeltaRefused(
            RefusalReason.TOO_LARGE,
            f"{what} is larger than {MAX_SOURCE_BYTES} bytes; make the source shorter",
        )
    try:
        return check(source)
    except SourceRejected as error:
        raise DeltaRefused(REASONS[error.reason], f"{what}: {error.message}; {remedy}") from error
