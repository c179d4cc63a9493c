"""What the report says of deltas: in words for each code that one can end with."""

from gateway.dashboard.delta_outcomes import MEANINGS
from gateway.domain.delta_reports import APPLIED, NO_PROPOSAL, UNACCEPTABLE
from generator_svc.answers import FORBIDDEN_OPERATOR, TOO_MANY_FLOPS, TOO_MANY_PARAMETERS
from generator_svc.deltas.refusals import RefusalReason

OF_DEPLOYMENT = {FORBIDDEN_OPERATOR, TOO_MANY_FLOPS, TOO_MANY_PARAMETERS}


def test_every_code_that_a_delta_can_end_with_is_explained():
    assert MEANINGS.keys() == {APPLIED, NO_PROPOSAL, UNACCEPTABLE, *OF_DEPLOYMENT, *RefusalReason}
    assert all(MEANINGS.values())
