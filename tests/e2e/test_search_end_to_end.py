"""A whole search on real data in real sandboxes: undisturbed, repeated, and with every process killed."""

import os
import signal
import time

import pytest
from live_server import DATASET, Server, small_fashion_mnist
from processes import is_running, until

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(600)]

SEARCH = {
    "dataset": DATASET,
    "cycles": 2,
    "candidates_per_cycle": 4,
    "seed": 11,
    "baselines": ["residual", "depthwise-separable"],
    "train_images": 600,
    "final_seeds": 2,
    "elites": 3,
}


def start_search(server, **fields) -> str:
    created = server.http.post("/v1/searches", json={**SEARCH, **fields})
    assert created.status_code == 202, created.text
    return created.json()["id"]


def candidates(server, search_id) -> list[dict]:
    return server.http.get(f"/v1/searches/{search_id}/candidates", params={"limit": 100}).json()["items"]


def story(items) -> list[tuple]:
    """What equal seeds must repeat: each slot's candidate, its fate and its score."""
    return sorted(
        (c["cycle"], c["slot"], c["state"], c["candidate_id"], c["summary"], c["accuracy"]) for c in items
    )


@pytest.fixture(scope="module")
def undisturbed(server) -> tuple[dict, list[dict]]:
    search = server.finished_search(start_search(server, name="undisturbed"))
    return search, candidates(server, search["id"])


def test_a_search_fills_every_slot_and_ends_with_a_comparison_on_the_sealed_half(undisturbed):
    search, items = undisturbed
    assert search["state"] == "succeeded", search["failure"]
    slots = sorted((c["cycle"], c["slot"]) for c in items)
    assert slots == [(0, 0), (0, 1)] + [(cycle, slot) for cycle in (1, 2) for slot in range(4)]
    final = search["final"]
    assert final["scored_on"] == "sealed_half"
    assert len(final["per_seed"]) == 2
    low, high = final["gain_interval"]
    assert low <= final["mean_gain"] <= high


def test_the_funnel_only_narrows(undisturbed):
    funnel = undisturbed[0]["funnel"]
    assert funnel["proposed"] >= funnel["applied"] >= funnel["novel"] >= funnel["ran"] >= funnel["elite"] > 0


def test_the_sealed_half_is_shown_for_finalists_alone(undisturbed):
    search, items = undisturbed
    finalists = {search["final"]["winner"]["proposal_id"], search["final"]["baseline"]["proposal_id"]}
    revealed = {c["proposal_id"] for c in items if c["audit_accuracy"] is not None}
    assert revealed <= finalists


def test_the_report_is_one_self_contained_page(server, undisturbed, tmp_path):
    page = tmp_path / "report.html"
    written = server.cli("search", "report", undisturbed[0]["id"], "-o", str(page))
    assert written.returncode == 0, written.stderr
    text = page.read_text()
    assert "<svg" in text
    assert "<script" not in text
    assert 'src="http' not in text


@pytest.mark.full
def test_killing_each_process_in_turn_loses_no_slot_and_changes_no_score(undisturbed, tmp_path):
    expected = story(undisturbed[1])
    server = Server(tmp_path)
    server.start()
    try:
        source = tmp_path / "small.npz"
        assert server.cli("datasets", "add", DATASET, str(small_fashion_mnist(source))).returncode == 0
        search_id = start_search(server, name="disturbed")
        for module in ("generator_svc", "filter_svc", "sandbox_runner", "sandbox_runner.agent", "gateway"):
            time.sleep(1)
            victim = until(lambda module=module: server.services().get(module), 60, f"{module} runs")
            os.kill(victim, signal.SIGKILL)
            until(lambda victim=victim: not is_running(victim), 60, f"{module} has ended")
            server.wait_until_ready()
        time.sleep(1)
        services = server.services().values()
        server.stop(signal.SIGKILL)
        until(lambda: not any(map(is_running, services)), 60, "all services have ended")
        server.start()
        resumed = server.cli("search", "resume", search_id, "--json", seconds=400)
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        search = server.finished_search(search_id)
        assert search["state"] == "succeeded", search["failure"]
        assert story(candidates(server, search_id)) == expected
        assert search["funnel"] == undisturbed[0]["funnel"]
    finally:
        server.stop()
