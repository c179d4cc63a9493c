"""Proposals of language models over HTTP: lines as they come, what holds them up, and who stops them."""

import json
import threading
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import uvicorn
from anyio.to_thread import current_default_thread_limiter
from fakes import FakeChatModel, held_up
from fastapi.testclient import TestClient
from model_folders import add_model_folder, write_adapter_folder
from mutation_sources import BLOCKS
from pydantic import TypeAdapter

from contracts.proposals import ModelWeights, ProposalLine
from contracts.service_gate import token_digest
from generator_svc import app as generator_app
from generator_svc import routes_proposals
from generator_svc.config import GeneratorSettings
from generator_svc.deltas import canonical_delta
from generator_svc.language_models.departure import ASKER_LEFT
from generator_svc.prompts import delta_prompt
from generator_svc.proposers.language_model import LanguageModelProposer
from generator_svc.proposers.mutation import MutationProposer

GOOD = f"```diff\n{canonical_delta(BLOCKS, BLOCKS.replace('(8, 16)', '(12, 16)'))}```"
AUTHORIZED = {"Authorization": "Bearer secret"}


def settings(**fields):
    return GeneratorSettings(service_token_sha256=token_digest("secret"), **fields)


@contextmanager
def asking(app):
    with TestClient(app, headers=AUTHORIZED, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def app_of(monkeypatch):
    """The application with a prepared model instead of real ones."""

    def made(model, held=None):
        def choose(_options, _adapter):
            if held is not None:
                raise held
            return model

        known = (MutationProposer(), LanguageModelProposer("local_llm", choose))
        by_name = {proposer.name: proposer for proposer in known}
        monkeypatch.setattr(generator_app, "known_proposers", lambda *_: by_name)
        return generator_app.create_app(settings())

    return made


def request(slots=1, **fields):
    one = {"seed": 1, "baseline_source": BLOCKS, "baseline_id": "b", "baseline_accuracy": 0.5}
    slots = [{"slot": number, **one} for number in range(slots)]
    usual = {"search_id": "s", "cycle": 1, "proposer": "local_llm", "dataset": "cifar-10", "slots": slots}
    return {**usual, **fields}


def test_a_line_has_the_proposal_with_its_calls(app_of):
    weights = ModelWeights("ab" * 32, "float32", "cpu")
    with asking(app_of(FakeChatModel(GOOD, weights=weights))) as client:
        (line,) = client.post("/v1/proposals", json=request()).text.splitlines()
    read = TypeAdapter(ProposalLine).validate_json(line)
    assert read.proposal.calls[0].adapter is read.blocked is None
    proposal = json.loads(line)["proposal"]
    assert (proposal["answer"], proposal["form"]) == (GOOD, "delta")
    (call,) = proposal["calls"]
    assert (call["role"], call["prompt_version"], call["answer"]) == ("proposal", "delta_v3", GOOD)
    assert call["weights"] == {"sha256": "ab" * 32, "dtype": "float32", "device": "cpu"}
    assert [message["role"] for message in call["messages"]] == ["system", "user"]


@pytest.mark.parametrize("retryable", [True, False])
def test_what_holds_a_model_up_is_the_last_line(app_of, retryable):
    held = held_up(retryable=retryable)
    with asking(app_of(FakeChatModel(GOOD, held))) as client:
        first, last = client.post("/v1/proposals", json=request(2)).text.splitlines()
    assert json.loads(first)["proposal"]["slot"] == 0
    assert json.loads(last)["blocked"]["retryable"] is retryable
    with asking(app_of(None, held)) as client:
        answer = client.post("/v1/proposals", json=request(2))
    assert (answer.status_code, json.loads(answer.text)["blocked"]["code"]) == (200, "endpoint_unreachable")


@pytest.mark.parametrize(("retryable", "status"), [(True, 503), (False, 422)])
def test_without_slots_what_holds_a_model_up_is_a_problem_with_its_remedy(app_of, retryable, status):
    model = FakeChatModel()
    model.unready = held_up("rate_limited", retryable=retryable, after=2.5)
    with asking(app_of(model)) as client:
        answer = client.post("/v1/proposals", json=request(0))
    document = answer.json()
    assert (answer.status_code, document["code"], document["field"]) == (status, "rate_limited", "options")
    assert (document["detail"], document["remedy"]) == ("it is rate_limited", "wait or mend it")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("retry-after") == ("3" if retryable else None)


def test_options_that_mean_nothing_are_a_problem_with_slots_and_without(app_of):
    with asking(app_of(FakeChatModel())) as client:
        for slots in (0, 1):
            answer = client.post("/v1/proposals", json=request(slots, options={"repairs": 9}))
            assert (answer.status_code, answer.json()["field"]) == (422, "options.repairs")
            assert "0 to 3" in answer.json()["detail"]


def test_an_adapter_of_other_weights_than_the_models_is_refused_before_anything_is_asked(tmp_path):
    base = add_model_folder(tmp_path)
    for adapter, digest in {"fits": base.manifest.weights_sha256, "differs": "a" * 64}.items():
        folder = write_adapter_folder(tmp_path, adapter, base)
        (folder / "manifest.json").write_text(json.dumps({"base_weights_sha256": digest}))
    with asking(generator_app.create_app(settings(home=tmp_path))) as client:
        wanted = request(0, options={"model": "small"})
        assert client.post("/v1/proposals", json={**wanted, "adapter": "fits"}).status_code == 200
        refused = client.post("/v1/proposals", json={**wanted, "adapter": "differs"})
        absent = client.post("/v1/proposals", json={**wanted, "adapter": "nobody"})
    document = refused.json()
    assert (refused.status_code, document["code"], document["field"]) == (422, "adapter_mismatch", "adapter")
    assert "other weights" in document["detail"]
    assert document["remedy"]
    assert (absent.status_code, absent.json()["code"]) == (422, "adapter_unknown")


def test_where_no_endpoint_is_set_up_it_is_said_what_to_set(monkeypatch):
    for name in ("BASE_URL", "MODEL", "API_KEY", "ENDPOINTS"):
        monkeypatch.delenv(f"DELTANAS_LLM_{name}", raising=False)
    with asking(generator_app.create_app(settings())) as client:
        answer = client.post("/v1/proposals", json=request(0, proposer="openai_compatible"))
    assert (answer.status_code, answer.json()["code"]) == (422, "endpoint_unknown")
    assert "DELTANAS_LLM_BASE_URL" in answer.json()["remedy"]


@contextmanager
def serving(app):
    """A client of the application, over a real socket: streams arrive as they are made."""
    config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    with config.bind_socket() as socket:
        running = threading.Thread(target=server.run, args=([socket],))
        running.start()
        try:
            address = f"http://127.0.0.1:{socket.getsockname()[1]}"
            with httpx.Client(base_url=address, headers=AUTHORIZED, timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            running.join()


class Waiting(FakeChatModel):
    """Gives no answer but its first before it is allowed to."""

    def __init__(self, *texts):
        super().__init__(*texts)
        self.may_go_on, self.ended = threading.Event(), threading.Event()

    def answers(self, requests, sampling):
        try:
            for number, answer in enumerate(super().answers(requests, sampling)):
                while number and not self.may_go_on.wait(0.01):
                    if ASKER_LEFT.get().is_set():
                        return
                yield answer
        finally:
            self.ended.set()


def test_where_no_local_model_is_there_it_is_said_how_to_add_one(tmp_path):
    with asking(generator_app.create_app(settings(home=tmp_path))) as client:
        for options, code in (({}, "invalid_options"), ({"model": "none"}, "model_unknown")):
            answer = client.post("/v1/proposals", json=request(0, options=options))
            assert (answer.status_code, answer.json()["code"]) == (422, code)
            assert "deltanas models add" in answer.json()["remedy"]
        blocked = client.post("/v1/proposals", json=request(1, options={"model": "none"}))
    assert json.loads(blocked.text)["blocked"]["code"] == "model_unknown"


def test_a_client_who_leaves_ends_the_work(app_of):
    model = Waiting(*[GOOD] * 8)
    with serving(app_of(model)) as client:
        with client.stream("POST", "/v1/proposals", json=request(8)) as response:
            assert b"proposal" in next(response.iter_bytes(100))
        assert model.ended.wait(60)


def test_models_that_take_their_time_leave_other_requests_alone(app_of):
    model = Waiting(*[GOOD] * 6)
    app = app_of(model)

    @app.get("/few")
    async def few() -> None:
        current_default_thread_limiter().total_tokens = 2

    with serving(app) as client, ExitStack() as streams:
        client.get("/few")
        heard = []
        for search in ("a", "b", "c"):
            body = request(2, search_id=search)
            response = streams.enter_context(client.stream("POST", "/v1/proposals", json=body))
            # Kept: whoever drops an iterator leaves.
            heard.append(response.iter_bytes(100))
            assert b"proposal" in next(heard[-1])
        assert client.get("/healthz", timeout=30).json() == {"status": "ok"}
        model.may_go_on.set()


def test_a_client_who_waits_hears_that_the_work_goes_on(app_of, monkeypatch):
    monkeypatch.setattr(routes_proposals, "SIGN_OF_LIFE_SECONDS", 0.01)
    model = Waiting(GOOD, GOOD)
    with serving(app_of(model)) as client:
        with client.stream("POST", "/v1/proposals", json=request(2)) as response:
            heard = b""
            for chunk in response.iter_bytes():
                heard += chunk
                if heard.endswith(b"}\n\n\n"):
                    model.may_go_on.set()
        lines = [json.loads(line) for line in heard.split(b"\n") if line]
        assert [line["proposal"]["slot"] for line in lines] == [0, 1]


def test_prompts_are_what_a_model_would_be_told(app_of):
    with asking(app_of(FakeChatModel())) as client:
        answer = client.post("/v1/prompts", json=request(2, proposer="external"))
        one, other = answer.json()["items"]
        assert (one["slot"], other["slot"], one["prompt_version"]) == (0, 1, "delta_v3")
        told = [message.content for message in delta_prompt(BLOCKS, "cifar-10", 0.5)]
        assert [message["content"] for message in one["messages"]] == told
        source = client.post("/v1/prompts", json=request(1, options={"form": "source"}))
        assert source.json()["items"][0]["prompt_version"] == "source_v2"
        for options, field in (({"form": "prose"}, "options.form"), ({"x": 1}, "options.x")):
            refused = client.post("/v1/prompts", json=request(1, options=options))
            assert (refused.status_code, refused.json()["field"]) == (422, field)
        assert client.post("/v1/prompts", json=request(9)).status_code == 422
