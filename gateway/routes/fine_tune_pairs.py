"""From the pairs of a request to what a model learns: each delta is applied, and its text is let go of."""

from collections.abc import Sequence

from contracts.failures import REMEDIES, FailureReason
from gateway.domain.fine_tuning import GivenPair
from gateway.routes.problems import RequestProblem
from gateway.routes.source_resolution import baseline_of
from gateway.schemas.fine_tune_body import PairBody
from gateway.services import Services


def given_pairs(bodies: Sequence[PairBody], services: Services) -> tuple[GivenPair, ...]:
    """The pairs, all of them or none. Raises RequestProblem with the pair at fault, ServiceUnavailable."""
    return tuple(_given(f"pairs.{number}", body, services) for number, body in enumerate(bodies))


def _given(where: str, body: PairBody, services: Services) -> GivenPair:
    if (body.baseline is None) == (body.baseline_source is None):
        raise RequestProblem(
            422,
            "invalid_request",
            "exactly one of baseline and baseline_source is needed",
            field=f"{where}.baseline",
            remedy="Name a baseline, or send its source.",
        )
    try:
        source = baseline_of(body, services).source
    except RequestProblem as error:
        error.document["field"] = f"{where}.{error.document.get('field', 'baseline')}"
        raise
    applied = services.generator.apply_delta(source, body.delta)
    if applied.status != "applied" or applied.source is None:
        found = RequestProblem(
            422,
            "delta_rejected",
            applied.message[:2000] or "The delta does not fit its baseline.",
            field=f"{where}.delta",
            value=body.delta,
            remedy=REMEDIES[FailureReason.DELTA_REJECTED],
        )
        found.document["reason"] = applied.reason
        raise found
    return GivenPair(body.dataset, source, applied.source, body.baseline_accuracy)
