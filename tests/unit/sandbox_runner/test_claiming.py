"""An agent claims until it knows whether the attempt is its own."""

import pytest

from sandbox_runner.agent import claiming
from sandbox_runner.agent.claiming import claim_for_sure
from sandbox_runner.agent.links import Rejected, Unreachable


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(claiming, "PAUSE_SECONDS", 0.001)


class Gateway:
    """Answers one claim after the other; `asked` are those that came."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def claim(self, agent_id, attempt_id, key):
        self.asked.append((agent_id, attempt_id, key))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_claim_without_an_answer_is_repeated_with_its_key():
    gateway = Gateway(Unreachable("reset"), Unreachable("reset"), "the attempt")
    assert claim_for_sure(gateway.claim, "agent", "at_1") == "the attempt"
    assert len(gateway.asked) == 3
    assert set(gateway.asked) == {gateway.asked[0]}
    assert len(gateway.asked[0][2]) >= 32


def test_no_two_claims_have_one_key():
    gateway = Gateway("one", "other")
    claim_for_sure(gateway.claim, "agent", "at_1")
    claim_for_sure(gateway.claim, "agent", "at_1")
    assert gateway.asked[0] != gateway.asked[1]


@pytest.mark.parametrize("answer", [None, Rejected(401, "no", "")])
def test_a_refusal_is_not_asked_again(answer):
    gateway = Gateway(answer)
    if answer is None:
        assert claim_for_sure(gateway.claim, "agent", "at_1") is None
    else:
        with pytest.raises(Rejected):
            claim_for_sure(gateway.claim, "agent", "at_1")
    assert len(gateway.asked) == 1


def test_a_gateway_that_does_not_come_back_is_given_up(monkeypatch):
    monkeypatch.setattr(claiming, "CLAIM_SECONDS", 0.01)
    gateway = Gateway(*[Unreachable("away")] * 1000)
    with pytest.raises(Unreachable):
        claim_for_sure(gateway.claim, "agent", "at_1")
    assert 1 < len(gateway.asked) < 1000
