"""`/v1/fine-tunes` and `/v1/adapters`: accepted, followed, cancelled, downloaded, removed; whose they are."""

import pytest
from baseline_scene import imported, network
from fine_tune_scene import FineTuneScene
from sample_networks import CONVOLUTIONAL
from search_over_http import GOOD, raising

from contracts.proposals import ProposerBlocked
from gateway.infra.generator_client import ProposerHeldUp
from gateway.infra.service_clients import ServiceRefused


@pytest.fixture
def tuning(scene):
    # The gateway is one for all tests.
    scene.fine_tuner.forget()
    scene.generator.orders.clear()
    scene.generator.unlearnable.clear()
    return FineTuneScene(scene)


def events(tuning, job_id, after: int = 0) -> list[tuple[int, str]]:
    """(id, kind) of a job's events; the stream ends with the job."""
    headers = {"last-event-id": str(after)} if after else {}
    text = tuning.gateway.http.get(f"/v1/fine-tunes/{job_id}/events", headers=headers).text
    blocks = [
        dict(line.split(": ", 1) for line in part.splitlines()) for part in text.split("\r\n\r\n") if part
    ]
    return [(int(block["id"]), block["event"]) for block in blocks]


def test_a_job_goes_from_a_searchs_elites_to_an_adapter(tuning):
    answer = tuning.ask(rank=8, epochs=2, seed=5)
    assert answer.status_code == 202
    job_id = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/fine-tunes/{job_id}"
    assert (answer.json()["state"], answer.json()["adapter"]) == ("queued", None)
    tuning.hand_in()
    tuning.gateway.fine_tuner.train(job_id, train_loss=0.7, tokens_per_second=12.5, eta_seconds=3.0)
    tuning.follow()
    running = tuning.read(job_id)
    assert (running["state"], running["phase"]) == ("running", "training")
    expected = {"step": 2, "train_loss": 0.7, "tokens_per_second": 12.5, "eta_seconds": 3.0}
    assert {name: running["progress"][name] for name in expected} == expected
    tuning.gateway.fine_tuner.succeed(job_id)
    tuning.follow()
    ended = tuning.read(job_id)
    assert (ended["state"], ended["adapter"], ended["failure"]) == ("succeeded", job_id, None)
    assert ended["result"]["adopted"]
    assert ended["chats"]["elite"] > 0
    settings = tuning.gateway.fine_tuner.bodies[job_id][0]
    assert settings == {
        "model": "tiny", "parent_adapter": None, "preset": "cpu", "rank": 8, "epochs": 2, "seed": 5,
    }  # fmt: skip


def test_events_are_told_in_order_and_from_where_a_follower_was_cut_off(tuning):
    job_id = tuning.finish()
    told = events(tuning, job_id)
    kinds = [kind for _, kind in told]
    assert kinds == ["state", "state", "chats", "step", "step", "finished"]
    assert events(tuning, job_id, after=told[2][0]) == told[3:]
    assert [number for number, _ in told] == sorted({number for number, _ in told})


def test_what_is_learnt_is_the_canonical_delta_between_measured_sources_and_never_what_a_model_wrote(tuning):
    job_id = tuning.start()
    tuning.hand_in()
    slots = tuning.journal.population(tuning.search_id)[0]
    stored = tuning.gateway.services.candidates
    candidates = [stored.read(tuning.search_id, slot.proposal_id) for slot in slots]
    raw = [one["raw_proposal"] for one in candidates if one["raw_proposal"]]
    sources = {one["source"] for one in candidates}
    assert raw
    assert tuning.gateway.generator.orders
    for order in tuning.gateway.generator.orders:
        assert {order.baseline_source, order.target_source} <= sources
    chats = tuning.gateway.fine_tuner.bodies[job_id][1:]
    assert len(chats) == len(tuning.gateway.generator.orders)
    for chat in chats:
        assert chat["messages"][-1]["content"] not in raw
        assert chat["split"] == "train"


def test_a_cancelled_job_stays_cancelled_although_it_succeeds_meanwhile_and_leaves_nothing_behind(tuning):
    job_id = tuning.start()
    tuning.hand_in()
    tuner = tuning.gateway.fine_tuner
    tuner.train(job_id)
    assert tuning.gateway.http.delete(f"/v1/fine-tunes/{job_id}").json()["state"] == "cancelled"
    tuner.succeed(job_id)
    tuner.busy.add(job_id)
    tuning.follow()
    assert job_id in tuner.kept  # its trainer is still ending: it is looked after again
    tuner.busy.clear()
    tuning.follow()
    assert tuning.read(job_id)["state"] == "cancelled"
    assert tuner.status(job_id) is None
    assert not tuner.kept
    assert tuning.gateway.http.get(f"/v1/adapters/{job_id}").status_code == 404
    assert not tuning.journal.unsettled(submitted=True)


def test_a_job_that_has_ended_answers_a_cancellation_with_its_state(tuning):
    job_id = tuning.finish()
    assert tuning.gateway.http.delete(f"/v1/fine-tunes/{job_id}").json()["state"] == "succeeded"
    assert tuning.read(job_id)["adapter"] == job_id


def test_pairs_of_the_caller_are_applied_kept_and_learnt_as_what_they_lead_to(tuning):
    raw = "Here it_is, as I wrote it"
    pairs = [
        {"dataset": "cifar-10", "baseline_source": CONVOLUTIONAL, "delta": raw, "baseline_accuracy": 0.5},
        {"dataset": "leaves", "baseline": "oak", "delta": "widen 7"},
    ]
    answer = tuning.ask(search_id=None, pairs=pairs)
    assert answer.status_code == 202, answer.text
    asked = answer.json()["request"]["pairs"]
    assert (asked["count"], len(asked["sha256"])) == (2, 64)
    job_id = answer.json()["id"]
    assert tuning.start(search_id=None, pairs=pairs) != job_id
    tuning.hand_in()
    orders = tuning.gateway.generator.orders[:2]
    assert [order.dataset for order in orders] == ["cifar-10", "leaves"]
    assert [order.baseline_accuracy for order in orders] == [0.5, None]
    for order, pair in zip(orders, pairs, strict=True):
        applied = tuning.gateway.generator.apply_delta(order.baseline_source, pair["delta"])
        assert order.target_source == applied.source != order.baseline_source
    assert raw not in str(tuning.gateway.fine_tuner.bodies[job_id])
    assert tuning.read(job_id)["chats"]["given"] == 2


def test_the_pairs_of_a_job_go_when_it_has_ended(tuning):
    pairs = [{"dataset": "cifar-10", "baseline": "oak", "delta": "widen 7"}]
    job_id = tuning.start(search_id=None, pairs=pairs)
    assert [len(some) for some in tuning.journal.given_pairs(job_id)] == [1]
    tuning.gateway.http.delete(f"/v1/fine-tunes/{job_id}")
    assert list(tuning.journal.given_pairs(job_id)) == []


@pytest.mark.parametrize(
    ("pair", "field"),
    [
        ({"baseline": "oak"}, "pairs.1.delta"),
        ({"delta": "widen 7"}, "pairs.1.baseline"),
        ({"delta": "widen 7", "baseline": "oak", "baseline_source": CONVOLUTIONAL}, "pairs.1.baseline"),
        ({"delta": "widen 7", "baseline": "nowhere"}, "pairs.1.baseline"),
        ({"delta": "widen 7", "baseline_source": "x = ("}, "pairs.1.baseline_source"),
        ({"delta": "unplaceable", "baseline": "oak"}, "pairs.1.delta"),
        ({"delta": "widen 7", "baseline": "oak", "dataset": "../etc"}, "pairs.1.dataset"),
        ({"delta": "widen 7", "baseline": "oak", "baseline_accuracy": 2}, "pairs.1.baseline_accuracy"),
        ({"delta": "widen 7", "baseline": "oak", "source": "class Net"}, "pairs.1.source"),
    ],
)
def test_a_pair_that_cannot_be_learnt_refuses_the_job_by_its_number(tuning, pair, field):
    good = {"dataset": "cifar-10", "baseline": "oak", "delta": "widen 7"}
    answer = tuning.ask(search_id=None, pairs=[good, {"dataset": "cifar-10", **pair}])
    assert answer.status_code == 422
    document = answer.json()
    assert field == document.get("field") or field in [error["field"] for error in document["errors"]]
    assert tuning.gateway.http.get("/v1/fine-tunes").json()["items"] == []


def test_no_more_than_so_many_pairs_come_in_one_request(tuning):
    good = {"dataset": "cifar-10", "baseline": "oak", "delta": "widen 7"}
    answer = tuning.ask(search_id=None, pairs=[good] * 201)
    assert (answer.status_code, answer.json()["field"]) == (422, "pairs")


def test_an_idempotency_key_starts_one_job(tuning):
    key = {"idempotency-key": "once"}
    first, second = tuning.ask(key), tuning.ask(key)
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["idempotent-replayed"] == "true"
    assert len(tuning.gateway.http.get("/v1/fine-tunes").json()["items"]) == 1


def test_lists_are_newest_first_and_go_on_at_a_cursor(tuning):
    made = [tuning.start() for _ in range(3)]
    page = tuning.gateway.http.get("/v1/fine-tunes", params={"limit": 2}).json()
    assert [item["id"] for item in page["items"]] == made[:0:-1]
    rest = tuning.gateway.http.get("/v1/fine-tunes", params={"cursor": page["next_cursor"]}).json()
    assert [item["id"] for item in rest["items"]] == made[:1]
    assert rest["next_cursor"] is None


def test_no_more_than_a_few_jobs_may_be_open(tuning):
    for _ in range(8):
        tuning.start()
    answer = tuning.ask()
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_fine_tunes")
    assert answer.headers["retry-after"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"search_id": None}, "body"),
        ({"rank": 0}, "rank"),
        ({"learning_rate": 2}, "learning_rate"),
        ({"preset": "huge"}, "preset"),
        ({"targets": ["q proj"]}, "targets.0"),
        ({"probe": {"samples": -1}}, "probe.samples"),
        ({"quantization": "int8"}, "quantization"),
        ({"model": "../etc"}, "model"),
        ({"parent_adapter": "../x"}, "parent_adapter"),
        ({"raw_text": "learn this"}, "raw_text"),
        ({"seed": True}, "seed"),
    ],
)
def test_a_bad_field_is_named(tuning, fields, field):
    answer = tuning.ask(**fields)
    assert answer.status_code == 422
    assert field in {found["field"] for found in answer.json()["errors"]}
    assert not tuning.gateway.http.get("/v1/fine-tunes").json()["items"]


def test_unknown_names_are_refused_with_a_remedy(tuning):
    answer = tuning.ask(parent_adapter="ft_nobody")
    assert (answer.status_code, answer.json()["code"]) == (422, "adapter_unknown")
    assert "adapters list" in answer.json()["remedy"]
    answer = tuning.ask(search_id="se_00")
    assert (answer.status_code, answer.json()["code"]) == (404, "search_unknown")
    answer = tuning.ask(training_pairs={"dataset": "nowhere"})
    assert (answer.status_code, answer.json()["code"]) == (422, "no_recorded_networks")


def test_a_model_that_is_not_there_is_refused_before_anything_is_stored(tuning, monkeypatch):
    blocked = ProposerBlocked("model_unknown", "There is no model 'tiny'.", "deltanas models add", False)

    def held_up(request):
        assert (request.proposer, request.options) == ("local_llm", {"model": "tiny"})
        raise ProposerHeldUp(blocked)

    search_id = tuning.search_id
    monkeypatch.setattr(tuning.gateway.generator, "propose", held_up)
    answer = tuning.ask(search_id=search_id)
    assert (answer.status_code, answer.json()["code"]) == (422, "model_unknown")
    assert (answer.json()["field"], answer.json()["remedy"]) == ("model", "deltanas models add")
    assert not tuning.gateway.http.get("/v1/fine-tunes").json()["items"]


def test_an_adapter_of_another_model_is_no_parent(tuning):
    parent = tuning.finish()
    answer = tuning.ask(model="large", parent_adapter=parent)
    assert (answer.status_code, answer.json()["code"]) == (422, "adapter_mismatch")
    assert tuning.ask(parent_adapter=parent).status_code == 202


def test_a_parent_of_other_weights_under_the_same_name_is_refused_at_once(tuning, monkeypatch):
    parent = tuning.finish()
    document = {"code": "adapter_mismatch", "detail": "Other weights.", "field": "adapter", "remedy": "Mend."}

    def refuse(asked):
        assert (asked.slots, asked.adapter) == ((), parent)
        raise ServiceRefused("generator", 422, document)

    monkeypatch.setattr(tuning.gateway.generator, "propose", refuse)
    before = tuning.gateway.http.get("/v1/fine-tunes").json()["items"]
    answer = tuning.ask(parent_adapter=parent)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "adapter_mismatch")
    assert problem["field"] == "parent_adapter"
    assert (problem["value"], problem["remedy"]) == (parent, "Mend.")
    assert tuning.gateway.http.get("/v1/fine-tunes").json()["items"] == before


def test_a_search_with_an_adapter_of_other_weights_is_refused_at_once(tuning, monkeypatch):
    adapter = tuning.finish()
    document = {"code": "adapter_mismatch", "detail": "Other weights.", "field": "adapter", "remedy": "Mend."}
    monkeypatch.setattr(
        tuning.gateway.generator, "propose", raising(ServiceRefused("generator", 422, document))
    )
    local = {"kind": "local_llm", "options": {"model": "tiny"}}
    answer = tuning.gateway.http.post("/v1/searches", json={**GOOD, "adapter": adapter, "proposer": local})
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["field"]) == (422, "adapter_mismatch", "adapter")
    assert (problem["value"], problem["remedy"]) == (adapter, "Mend.")


def test_elites_and_recorded_networks_are_learnt_together(tuning):
    imported(
        tuning.gateway,
        *(network(f"net-{n}", f"family-{n % 2}", accuracies={"digits": 0.3 + n / 10}) for n in range(4)),
    )
    pairs = {
        "dataset": "digits", "hyperparameters": "any", "mutation_pairs": 0,
        "fewest_lines": 1, "validation_share": 0.5,
    }  # fmt: skip
    job_id = tuning.start(training_pairs=pairs)
    tuning.hand_in()
    chats = tuning.read(job_id)["chats"]
    assert chats["elite"] > 0
    assert chats["lemur"] > 0
    splits = [chat["split"] for chat in tuning.gateway.fine_tuner.bodies[job_id][1:]]
    assert splits.count("validation") > 0
    assert len(splits) == chats["elite"] + chats["lemur"]


# --- adapters ----------------------------------------------------------------------------------


def test_adapters_are_listed_with_manifest_and_downloaded_whole_or_by_file(tuning):
    job_id = tuning.finish()
    tuning.start()  # has none yet
    (item,) = tuning.gateway.http.get("/v1/adapters").json()["items"]
    assert (item["id"], item["base_model"], item["search_id"]) == (job_id, "tiny", tuning.search_id)
    assert item == tuning.gateway.http.get(f"/v1/adapters/{job_id}").json()
    whole = tuning.gateway.http.get(f"/v1/adapters/{job_id}/files")
    assert whole.content == b"tar of " + job_id.encode()
    assert f"{job_id}.tar" in whole.headers["content-disposition"]
    one = tuning.gateway.http.get(f"/v1/adapters/{job_id}/files/adapter_model.safetensors")
    assert one.content == b"adapter_model.safetensors"
    assert one.headers["content-length"] == str(len(one.content))
    other = tuning.gateway.http.get(f"/v1/adapters/{job_id}/files/passwd")
    assert (other.status_code, other.json()["code"]) == (404, "file_unknown")


def test_an_adapter_in_use_is_not_removed(tuning):
    parent = tuning.finish()
    child = tuning.start(parent_adapter=parent)
    path = f"/v1/adapters/{parent}"
    answer = tuning.gateway.http.delete(path)
    assert (answer.status_code, answer.json()["code"]) == (409, "adapter_in_use")
    assert child in answer.json()["detail"]
    tuning.gateway.http.delete(f"/v1/fine-tunes/{child}")
    assert tuning.gateway.http.delete(path).status_code == 204
    assert tuning.gateway.http.get(path).status_code == 404
    assert not tuning.gateway.fine_tuner.kept
    assert tuning.read(parent)["adapter"] is None
    assert tuning.ask(parent_adapter=parent).json()["code"] == "adapter_unknown"


def test_an_adapter_of_a_job_that_is_just_ending_is_not_removed(tuning, monkeypatch):
    def refuse(_adapter_id):
        raise ServiceRefused("generator", 409, {"code": "adapter_in_use"})

    job_id = tuning.finish()
    monkeypatch.setattr(tuning.gateway.fine_tuner, "remove_adapter", refuse)
    answer = tuning.gateway.http.delete(f"/v1/adapters/{job_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "adapter_in_use")
    assert tuning.read(job_id)["adapter"] == job_id


def test_an_adapter_that_somebody_removed_from_its_folder_is_not_there(tuning):
    job_id = tuning.finish()
    tuning.gateway.fine_tuner.kept.clear()
    assert tuning.gateway.http.get(f"/v1/adapters/{job_id}").status_code == 404
    assert tuning.gateway.http.get(f"/v1/adapters/{job_id}/files").status_code == 404
    assert not tuning.gateway.http.get("/v1/adapters").json()["items"]
    assert tuning.gateway.http.delete(f"/v1/adapters/{job_id}").status_code == 204


def test_a_tenant_sees_its_own_jobs_and_adapters_alone(tuning):
    job_id = tuning.finish()
    _, key = tuning.gateway.services.keys.create("someone-else")
    other = {"authorization": f"Bearer {key}"}
    http = tuning.gateway.http
    for path in (
        f"/v1/fine-tunes/{job_id}",
        f"/v1/fine-tunes/{job_id}/events",
        f"/v1/adapters/{job_id}",
        f"/v1/adapters/{job_id}/files",
        f"/v1/adapters/{job_id}/files/manifest.json",
    ):
        assert http.get(path, headers=other).status_code == 404, path
    for path in (f"/v1/fine-tunes/{job_id}", f"/v1/adapters/{job_id}"):
        assert http.delete(path, headers=other).status_code == 404
    assert not http.get("/v1/fine-tunes", headers=other).json()["items"]
    assert not http.get("/v1/adapters", headers=other).json()["items"]
    assert tuning.ask(other).json()["code"] == "search_unknown"
    stolen = tuning.ask(other, search_id=None, training_pairs={"dataset": "x"}, parent_adapter=job_id)
    assert stolen.json()["code"] == "adapter_unknown"
    assert tuning.read(job_id)["adapter"] == job_id
