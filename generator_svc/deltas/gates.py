"""What a source must still be after a delta: parsable, a network of the same contract, and another one."""

import ast

from contracts.failures import FailureReason
from contracts.names import MAX_SOURCE_BYTES
from contracts.source_rules import CheckedSource, SourceRejected, check_source
from contracts.syntax import parse
from generator_svc.deltas.refusals import DeltaRefused, RefusalReason

REASONS = {
    FailureReason.SYNTAX_ERROR: RefusalReason.SYNTAX_ERROR,
    FailureReason.CONTRACT_VIOLATION: RefusalReason.CONTRACT_LOST,
    FailureReason.POLICY_VIOLATION: RefusalReason.POLICY_VIOLATION,
}


def check_baseline(source: str) -> CheckedSource:
    """The baseline must be a network itself. Raises DeltaRefused."""
    return _checked(source, "the baseline", "send a baseline that is an architecture source")


def check_result(baseline: CheckedSource, source: str) -> None:
    """Raises DeltaRefused: too_large, syntax_error, contract_lost, policy_violation, no_op."""
    result = _checked(source, "the result", "correct the added lines")
    if result.contract is not baseline.contract:
        raise DeltaRefused(
            RefusalReason.POLICY_VIOLATION,
            f"the delta turns a {baseline.contract} network into a {result.contract} one by adding or "
            "removing `Net.learn`; leave `learn` as it is",
        )
    if ast.dump(parse(baseline.source)) == ast.dump(parse(source)):
        raise DeltaRefused(
            RefusalReason.NO_OP,
            "the delta changes no code, only comments or layout at most; change the network",
        )


def _checked(source: str, what: str, remedy: str) -> CheckedSource:
    if len(source) > MAX_SOURCE_BYTES or len(source.encode(errors="surrogatepass")) > MAX_SOURCE_BYTES:
        raise DeltaRefused(
            RefusalReason.TOO_LARGE,
            f"{what} is larger than {MAX_SOURCE_BYTES} bytes; make the source shorter",
        )
    try:
        return check_source(source)
    except SourceRejected as error:
        raise DeltaRefused(REASONS[error.reason], f"{what}: {error.message}; {remedy}") from error
