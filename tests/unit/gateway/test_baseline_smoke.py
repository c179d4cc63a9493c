"""Smoke runs: in bounded windows, behind everything else, counted by reason, answered from the record."""

from dataclasses import asdict, replace

import pytest
from baseline_scene import imported, names, network
from fakes import outcome
from sqlalchemy import delete, update

from contracts.failures import Failure, FailureReason, TimeoutPhase
from contracts.measurements import SmokeResult
from gateway.domain.baseline_smoke import (
    SMALLEST_WINDOW,
    SMOKE_PRIORITY,
    SmokeState,
    SmokeTally,
    counted,
    window,
)
from gateway.infra.baseline_smokes import SmokeRunUnknown
from gateway.infra.database import utc_now
from gateway.infra.tables import AgentRow, AttemptRow
from gateway.loop.baseline_smoke import SmokeDriver
from gateway.routes.baseline_smoke_runs import MAX_OPEN_RUNS

NETWORKS = tuple(network(f"net-{n}", accuracies={"mnist": n / 10}) for n in range(7))
PASSED = SmokeResult(4, 0.1, 1.0, 1.0, 10**8, claimed_parameters=1234)


@pytest.fixture
def scene(scene):
    imported(scene, *NETWORKS)
    return scene


@pytest.fixture
def driver(scene):
    return make_driver(scene)


def make_driver(scene) -> SmokeDriver:
    services = scene.services
    return SmokeDriver(
        services.database,
        services.baselines,
        services.evaluations,
        services.quotas,
    )


def start(scene, **body) -> str:
    """Start a run; gives its address."""
    answer = scene.http.post("/v1/baselines:smoke", json={"dataset": "digits", **body})
    assert answer.status_code == 202, answer.text
    return answer.headers["location"]


def work(scene, failure_of=lambda _spec: None) -> int:
    """Claim and report all that is queued; gives how many attempts that were."""
    done = 0
    while (attempt_id := scene.agent.next()) is not None:
        claimed = scene.agent.claim(attempt_id)
        failure = failure_of(claimed.spec)
        answer = outcome(claimed.spec, failure=failure)
        if failure is None:
            answer = replace(answer, measurement=None, smoke=PASSED)
        assert scene.agent.send(claimed, asdict(answer)).status_code == 204
        done += 1
    return done


def run_to_the_end(scene, driver, run: str, failure_of=lambda _spec: None) -> dict:
    for _ in range(50):
        driver.advance()
        work(scene, failure_of)
        found = scene.http.get(run).json()
        if found["state"] != "running":
            return found
    raise AssertionError(found)


def test_networks_that_pass_are_usable_on_that_dataset_and_their_size_is_known(scene, driver):
    run = start(scene, names=["lemur/net-3", "lemur/net-4"])
    ended = run_to_the_end(scene, driver, run)
    assert (ended["state"], ended["pass_rate"], ended["failures"]) == ("succeeded", 1.0, [])
    assert (ended["progress"]["total"], ended["progress"]["passed"]) == (2, 2)
    assert names(scene, usable_on="digits") == ["lemur/net-3", "lemur/net-4"]
    assert names(scene, usable_on="mnist") == []
    assert names(scene, parameters_at_most=1234) == ["lemur/net-3", "lemur/net-4"]
    assert names(scene, parameters_at_most=1233) == []
    found = scene.http.get("/v1/baselines/lemur/net-3").json()
    assert (found["parameters"], found["usable_on"]) == (1234, ["digits"])
    body = {"dataset": "digits", "baselines": ["lemur/net-4", "oak"]}
    search = scene.http.post("/v1/searches", json=body)
    assert search.status_code == 202, search.text
    assert search.json()["request"]["baselines"] == ["lemur/net-4", "oak"]


def test_it_asks_for_smoke_evaluations_behind_everything_else(scene, driver):
    start(scene, names=["lemur/net-5"])
    driver.advance()
    claimed = scene.agent.claim_next()
    assert claimed.spec.kind == "smoke"
    assert claimed.spec.hyperparameters == {"lr": 0.01}
    shown = scene.http.get(f"/v1/evaluations/{claimed.spec.evaluation_id}").json()
    assert shown["request"]["priority"] == SMOKE_PRIORITY


def test_failures_are_counted_by_reason_and_phase_and_the_platforms_own_are_in_no_rate(scene, driver):
    failures = {
        "net-1": Failure(FailureReason.TIMEOUT, "slow", phase=TimeoutPhase.TRAIN),
        "net-2": Failure(FailureReason.BUILD_ERROR, "no such layer"),
        "net-3": Failure(FailureReason.BUILD_ERROR, "no such layer either"),
        "net-4": Failure(FailureReason.INFRASTRUCTURE, "the host broke"),
    }

    def failure_of(spec):
        return next((failures[name] for name in failures if f"'{name}'" in spec.source), None)

    run = start(scene, names=[f"lemur/net-{n}" for n in range(1, 7)])
    for _ in range(3):  # what the platform lost is tried three times, with a rest in between
        assert scene.http.get(run).json()["state"] == "running"
        driver.advance()
        work(scene, failure_of)
        end_rests(scene)
    ended = run_to_the_end(scene, driver, run, failure_of)
    progress = ended["progress"]
    assert (progress["passed"], progress["failed"], progress["lost"]) == (2, 3, 1)
    assert ended["pass_rate"] == pytest.approx(2 / 5)
    assert ended["failures"] == [
        {"reason": "build_error", "phase": None, "networks": 2},
        {"reason": "timeout", "phase": "train", "networks": 1},
    ]
    failed = scene.http.get(f"{run}/networks", params={"state": "failed"}).json()["items"]
    assert {item["name"] for item in failed} == {"lemur/net-1", "lemur/net-2", "lemur/net-3"}
    assert {item["failure"]["message"] for item in failed} >= {"slow", "no such layer"}
    assert names(scene, usable_on="digits") == ["lemur/net-5", "lemur/net-6"]


def end_rests(scene):
    """Attempts that the platform lost may be tried again at once."""
    with scene.services.database.write() as session:
        session.execute(update(AttemptRow).values(available_at=utc_now()))


def test_only_a_window_of_networks_is_in_the_queue_at_a_time(scene, driver):
    run = start(scene)
    for _ in range(3):
        driver.advance()
    progress = scene.http.get(run).json()["progress"]
    assert (progress["submitted"], progress["pending"]) == (SMALLEST_WINDOW, len(NETWORKS) - SMALLEST_WINDOW)
    assert scene.stored() == SMALLEST_WINDOW


def test_a_tenants_queue_is_never_filled_beyond_its_half(scene):
    scene.services.quotas.change("local", {"queued": 4})
    driver = make_driver(scene)
    run = start(scene)
    driver.advance()
    found = scene.http.get(run).json()["progress"]
    assert found["submitted"] == 2
    assert "half full" in found["waiting_for"]
    work(scene)
    driver.advance()
    assert scene.http.get(run).json()["progress"]["passed"] == 2


def test_a_run_that_was_cut_off_goes_on_and_evaluates_nothing_twice(scene):
    run = start(scene)
    for _ in range(30):  # every step by a driver that knows nothing of the one before
        make_driver(scene).advance()
        work(scene)
        if scene.http.get(run).json()["state"] != "running":
            break
    ended = scene.http.get(run).json()
    assert (ended["state"], ended["progress"]["passed"]) == ("succeeded", len(NETWORKS))
    assert scene.stored() == len(NETWORKS)


def test_a_run_that_breaks_says_so_and_keeps_no_other_from_going_on(scene, driver, monkeypatch):
    broken, other = start(scene, names=["lemur/net-1"]), start(scene, names=["lemur/net-2"])
    look_up = scene.services.baselines.version

    def broken_for_one(digest):
        found = look_up(digest)
        if found.network.name == "lemur/net-1":
            raise ValueError("a column that nobody can read")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(scene.services.baselines, "version", broken_for_one)
        assert run_to_the_end(scene, driver, other)["progress"]["passed"] == 1
    shown = scene.http.get(broken).json()
    assert shown["state"] == "running"
    assert "the gateway's log" in shown["progress"]["waiting_for"]
    assert run_to_the_end(scene, driver, broken)["progress"]["passed"] == 1


def test_what_was_tried_in_this_environment_is_answered_from_the_record(scene, driver):
    fails = Failure(FailureReason.TRAIN_ERROR, "shapes differ")

    def failure_of(spec):
        return fails if "'net-1'" in spec.source else None

    run_to_the_end(scene, driver, start(scene), failure_of)
    before = scene.stored()
    run = start(scene)
    driver.advance()
    again = scene.http.get(run).json()
    assert (again["state"], again["progress"]["reused"]) == ("succeeded", len(NETWORKS))
    assert again["failures"] == [{"reason": "train_error", "phase": None, "networks": 1}]
    assert scene.stored() == before
    scene.agent.heartbeat(environment_digest="f" * 64)
    elsewhere = start(scene)
    driver.advance()
    assert scene.http.get(elsewhere).json()["progress"]["submitted"] == SMALLEST_WINDOW


def test_those_that_failed_are_tried_once_more_when_that_is_asked_for(scene, driver):
    fails = Failure(FailureReason.TIMEOUT, "the machine was busy", phase=TimeoutPhase.TRAIN)
    run_to_the_end(scene, driver, start(scene), lambda spec: fails if "'net-1'" in spec.source else None)
    ended = run_to_the_end(scene, driver, start(scene, again=True))
    assert ended["chosen"] == {"again": True}
    assert (ended["progress"]["passed"], ended["progress"]["reused"]) == (len(NETWORKS), len(NETWORKS) - 1)
    assert "lemur/net-1" in names(scene, usable_on="digits")


def test_a_limited_run_is_a_sample_and_part_of_every_larger_one(scene):
    def chosen(limit):
        items = scene.http.get(f"{start(scene, limit=limit)}/networks").json()["items"]
        return [item["name"] for item in items]

    assert chosen(3) == chosen(6)[:3]
    assert chosen(6) != sorted(chosen(6))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"family": "RESNET", "name_contains": "net-6"}, 1),
        ({"recorded_on": "mnist", "accuracy_at_least": 0.5}, 2),
        ({"recorded_on": "mnist", "accuracy_at_most": 0.05}, 1),
        ({"contract": "lemur", "origin": "lemur", "limit": 5}, 5),
    ],
)
def test_the_filters_choose_what_is_tried(scene, body, expected):
    assert scene.http.get(start(scene, **body)).json()["progress"]["total"] == expected


def test_without_agents_a_run_waits_and_says_so(scene, driver):
    run = start(scene)
    with scene.services.database.write() as session:
        session.execute(delete(AgentRow))
    driver.advance()
    progress = scene.http.get(run).json()["progress"]
    assert (progress["submitted"], progress["waiting_for"]) == (0, "no agent is alive")
    scene.agent.heartbeat()
    driver.advance()
    assert scene.http.get(run).json()["progress"]["waiting_for"] is None


def test_a_cancelled_run_ends_its_evaluations_and_keeps_what_it_found(scene, driver):
    run = start(scene)
    driver.advance()
    scene.agent.claim_next()
    cancelled = scene.http.post(f"{run}:cancel").json()
    assert (cancelled["state"], cancelled["progress"]["cancelled"]) == ("cancelled", len(NETWORKS))
    states = {item["state"] for item in scene.http.get("/v1/evaluations").json()["items"]}
    assert states == {"cancelled"}
    driver.advance()
    assert scene.http.post(f"{run}:cancel").json() == cancelled


def test_a_run_cancelled_between_two_steps_submits_nothing_more(scene, driver, monkeypatch):
    run = start(scene)
    look_up = scene.services.baselines.version

    def cancelled_meanwhile(digest):
        scene.http.post(f"{run}:cancel")
        return look_up(digest)

    monkeypatch.setattr(scene.services.baselines, "version", cancelled_meanwhile)
    driver.advance()
    assert scene.http.get(run).json()["progress"]["cancelled"] == len(NETWORKS)
    assert scene.stored() == 0


def test_a_network_that_a_newer_import_replaced_is_lost_to_the_run(scene, driver):
    run = start(scene, names=["lemur/net-1"])
    imported(scene, network("net-1", family="newer"))
    ended = run_to_the_end(scene, driver, run)
    assert (ended["progress"]["lost"], ended["pass_rate"]) == (1, None)


def test_a_newer_version_has_to_pass_again(scene, driver):
    run_to_the_end(scene, driver, start(scene, names=["lemur/net-1"]))
    assert names(scene, usable_on="digits") == ["lemur/net-1"]
    imported(scene, network("net-1", family="newer"))
    assert names(scene, usable_on="digits") == []


def test_one_idempotency_key_starts_one_run(scene):
    headers = {"idempotency-key": "once"}
    first, second = (
        scene.http.post("/v1/baselines:smoke", json={"dataset": "digits"}, headers=headers) for _ in range(2)
    )
    assert first.headers["location"] == second.headers["location"]
    assert len(scene.http.get("/v1/baselines/smoke-runs").json()["items"]) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"dataset": "nothing"}, "unknown_dataset"),
        ({"dataset": "svhn"}, "dataset_not_ready"),
        ({"dataset": "digits", "names": ["lemur/none"]}, "unknown_baseline"),
        ({"dataset": "digits", "names": ["oak"]}, "unknown_baseline"),
        ({"dataset": "digits", "family": "none"}, "no_networks"),
        ({"dataset": "digits", "accuracy_at_least": 0.5}, "invalid_request"),
        ({"dataset": "digits", "origin": "deltanas"}, "invalid_request"),
        ({"dataset": "digits", "limit": 0}, "invalid_request"),
        ({"dataset": "digits", "colour": "red"}, "invalid_request"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused_and_leaves_nothing(scene, body, code):
    refused = scene.http.post("/v1/baselines:smoke", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert scene.http.get("/v1/baselines/smoke-runs").json()["items"] == []


def test_no_more_than_a_few_runs_may_be_open(scene):
    for _ in range(MAX_OPEN_RUNS):
        start(scene, limit=1)
    refused = scene.http.post("/v1/baselines:smoke", json={"dataset": "digits"})
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_smoke_runs")


def test_runs_are_listed_newest_first_and_belong_to_their_tenant(scene):
    first, second = (start(scene, limit=1).rpartition("/")[2] for _ in range(2))
    page = scene.http.get("/v1/baselines/smoke-runs", params={"limit": 1}).json()
    assert [item["id"] for item in page["items"]] == [second]
    rest = scene.http.get("/v1/baselines/smoke-runs", params={"cursor": page["next_cursor"]}).json()
    assert [item["id"] for item in rest["items"]] == [first]
    with pytest.raises(SmokeRunUnknown):
        scene.services.smoke_runs.read(first, "somebody-else")
    for path in ("sm_0", "sm_0/networks"):
        assert scene.http.get(f"/v1/baselines/smoke-runs/{path}").json()["code"] == "smoke_run_unknown"
    assert scene.http.post("/v1/baselines/smoke-runs/sm_0:cancel").status_code == 404


def test_the_networks_of_a_run_come_in_pages(scene):
    run = start(scene)
    page = scene.http.get(f"{run}/networks", params={"limit": 5}).json()
    rest = scene.http.get(f"{run}/networks", params={"limit": 6, "cursor": page["next_cursor"]}).json()
    places = [item["place"] for item in page["items"] + rest["items"]]
    assert (places, rest["next_cursor"]) == (list(range(7)), None)


def test_the_window_follows_the_slots_within_bounds():
    assert [window(slots) for slots in (0, 1, 2, 8, 1000)] == [4, 4, 4, 16, 32]


def test_nothing_judged_has_no_pass_rate():
    assert counted([SmokeTally(SmokeState.LOST, "infrastructure", None, 3)]).pass_rate is None
