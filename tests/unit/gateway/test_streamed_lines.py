"""Streams of lines between the gateway and its services, and chats that wait on disk."""

import json

import httpx
import pytest

from contracts.chats import ChatMessage
from contracts.proposals import ProposalRequest
from contracts.training_pairs import NamedSource, NearPair, PairOrder, TrainingPair
from gateway.infra import service_clients
from gateway.infra.chat_spool import ChatSpool
from gateway.infra.filter_client import FilterClient
from gateway.infra.generator_client import GeneratorClient, ProposerHeldUp
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable


def answering(kind, content, status: int = 200):
    """A client whose service gives this answer, in chunks; and what it was asked."""
    asked: list[tuple[httpx.URL, bytes]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url, request.read()))
        return httpx.Response(status, content=iter(content))

    return kind("http://127.0.0.1:1", None, httpx.MockTransport(answer)), asked


def encoded(*documents) -> bytes:
    """Lines in UTF-8 as it is, not in ASCII."""
    return b"".join(json.dumps(document, ensure_ascii=False).encode() + b"\n" for document in documents)


def test_sources_go_out_as_lines_and_near_pairs_come_in_wherever_chunks_end():
    content = encoded(
        {"progress": 0.5}, {"near": {"first": "a", "second": "b", "jaccard": 0.75}}, {"compared": 2}
    )
    client, asked = answering(FilterClient, [content[i : i + 7] for i in range(0, len(content), 7)])
    lines = list(client.near([NamedSource("a", "x = 1\n"), NamedSource("b", "é\u2028")], 0.6))
    assert [lines[0].progress, lines[1].near, lines[2].compared] == [0.5, NearPair("a", "b", 0.75), 2]
    url, body = asked[0]
    assert (url.path, dict(url.params)) == ("/v1/architectures:near", {"at_least": "0.6"})
    sent = [json.loads(line) for line in body.split(b"\n")[:-1]]
    assert sent == [{"id": "a", "source": "x = 1\n"}, {"id": "b", "source": "é\u2028"}]


@pytest.mark.parametrize("ending", ["\u2028", "\u0085", "\x1c", "\u2029"])
def test_what_ends_a_line_of_a_source_does_not_end_one_of_the_stream(ending):
    network = {"name": "n", "family": "f", "contract": "plain", "description": "", "source": f"a{ending}b"}
    client, _ = answering(GeneratorClient, [encoded({"total": 1}, {"network": network})])
    lines = list(client.read_baselines("lemur", iter([b"wheel"])))
    assert lines[1].network.source == f"a{ending}b"


def test_orders_go_out_with_the_wished_length_and_what_is_not_set_is_left_out():
    client, asked = answering(GeneratorClient, [encoded({"made": 0})])
    assert [line.made for line in client.training_pairs([PairOrder("0", "mnist", "x")], 5, 60)] == [0]
    url, body = asked[0]
    assert dict(url.params) == {"fewest_lines": "5", "most_lines": "60"}
    assert json.loads(body) == {"id": "0", "dataset": "mnist", "baseline_source": "x", "seed": 0}


PROPOSED = {"proposal": {"slot": 3, "proposer": "p", "answer": "a\u2028b", "summary": ""}}
BLOCKED = {"blocked": {"code": "rate_limited", "message": "Later.", "remedy": "Wait.", "retryable": True}}


def test_proposals_come_with_signs_of_life_between_them_and_end_with_what_holds_them_up():
    client, asked = answering(
        GeneratorClient, [b"\n", encoded(PROPOSED)[:9], encoded(PROPOSED)[9:] + b"\n\n"]
    )
    proposals = list(client.propose(ProposalRequest("se_1", 1, "p", "digits", ())))
    assert [proposal and proposal.slot for proposal in proposals] == [None, 3, None, None]
    assert json.loads(asked[0][1])["deployment"]["forbidden_operators"] == []
    client, _ = answering(GeneratorClient, [encoded(PROPOSED, BLOCKED)])
    arrived = client.propose(ProposalRequest("se_1", 1, "p", "digits", ()))
    assert next(arrived).answer == "a\u2028b"
    with pytest.raises(ProposerHeldUp, match="Later"):
        next(arrived)


def test_an_endpoint_that_is_away_before_anything_is_asked_is_told_as_such():
    away = {
        "code": "endpoint_unreachable",
        "detail": "'lab' is away.",
        "remedy": "Start it.",
        "field": "options",
    }
    client, _ = answering(GeneratorClient, [encoded(away)], 503)
    with pytest.raises(ProposerHeldUp, match="'lab' is away") as held_up:
        list(client.propose(ProposalRequest("", 0, "p", "digits", ())))
    assert (held_up.value.blocked.code, held_up.value.blocked.retryable) == ("endpoint_unreachable", True)
    client, _ = answering(GeneratorClient, [b"gone"], 503)
    with pytest.raises(ServiceUnavailable):
        list(client.propose(ProposalRequest("", 0, "p", "digits", ())))


def test_nonsense_an_endless_line_and_a_refusal_are_told_apart(monkeypatch):
    monkeypatch.setattr(service_clients, "MAX_LINE_BYTES", 1000)
    for content in ([b'{"near": 1}\n'], [b"x" * 600] * 3):
        client, _ = answering(FilterClient, content)
        with pytest.raises(ServiceUnavailable):
            list(client.near([], 0.6))
    client, _ = answering(FilterClient, [b'{"code": "comparison_running"}'], 409)
    with pytest.raises(ServiceRefused) as refused:
        list(client.near([], 0.6))
    assert refused.value.document["code"] == "comparison_running"


def test_chats_come_back_from_the_disk_in_order_and_leave_nothing(tmp_path):
    chats = [
        TrainingPair(str(n), "v1", (ChatMessage("user", "é\u2028\n" * n),), "-a\n+b", n, 2) for n in range(5)
    ]
    spool = ChatSpool(tmp_path)
    assert list(spool) == []
    for chat in chats:
        spool.add(chat)
    assert list(spool) == chats
    assert list(tmp_path.iterdir()) == []
    spool.close()
