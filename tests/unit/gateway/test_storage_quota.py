"""Whatever a tenant keeps for long is held to `storage_bytes`, wherever it comes in, and counted at once."""

import pytest
from fakes import FakeFarm, FakeTrainingAgent
from fine_tune_scene import FineTuneScene
from gateway_scene import TOKEN, gateway_in
from search_scene import Scene as LoopScene
from sqlalchemy import delete

from contracts.fine_tuning import FineTuneResult
from gateway.infra.tenant_storage import measure_storage
from gateway.infra.tenant_tables import TenantQuotaRow

EXTERNAL = {
    "dataset": "digits", "cycles": 1, "candidates_per_cycle": 3, "final_seeds": 1, "seed": 3,
    "proposer": {"kind": "external"}, "baselines": ["oak"],
}  # fmt: skip
PAIRS = [{"dataset": "cifar-10", "baseline": "oak", "delta": "widen 7"}]


@pytest.fixture
def scene(tmp_path):
    with gateway_in(tmp_path) as scene:
        scene.agent.heartbeat()
        yield scene


def limit(scene, storage_bytes: int | None) -> None:
    answer = scene.http.patch("/v1/tenants/local", json={"storage_bytes": storage_bytes})
    assert answer.status_code == 200, answer.text


def used(scene) -> int:
    return scene.http.get("/v1/quota").json()["storage_bytes"]["used"]


def fill_up(scene, left: int = 0) -> None:
    limit(scene, 10**9)
    limit(scene, used(scene) + left)


def refused(answer) -> None:
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["field"]) == (403, "storage_full", "storage_bytes")
    assert "deltanas quota" in problem["remedy"]


def asked(scene) -> tuple[str, str]:
    """A search that waits for an agent, and one of its tasks."""
    search = scene.http.post("/v1/searches", json=EXTERNAL).json()["id"]
    advance(scene, search)
    assert FakeFarm(scene.services.database).work() > 0
    advance(scene, search)
    return search, scene.http.post(f"/v1/searches/{search}:ask", json={}).json()["tasks"][0]["task_id"]


def advance(scene, search: str) -> bool:
    return LoopScene(scene.services.database, search, scene.generator, scene.filter).run().advance()


def tell(scene, search: str, task: str, delta: str):
    return scene.http.post(f"/v1/searches/{search}:tell", json={"task_id": task, "delta": delta})


def test_what_is_told_counts_before_it_is_measured_again(scene):
    search, task = asked(scene)
    limit(scene, 10**9)
    before = used(scene)
    answer = "grow 7" + " " * 1000
    assert tell(scene, search, task, answer).status_code == 202
    assert used(scene) == before + len(answer)
    advance(scene, search)
    counted = used(scene)
    assert counted > before + len(answer), "its source and its canonical delta count, too"
    _forget_measurement(scene)
    measure_storage(scene.services.database)
    assert used(scene) == counted, "and none of it twice"


def _forget_measurement(scene) -> None:
    with scene.services.database.write() as session:
        session.execute(delete(TenantQuotaRow))
    limit(scene, 10**9)


@pytest.fixture
def farm(scene):
    return FineTuneScene(scene, lends=True)


def test_a_fine_tune_and_its_pairs_need_room(scene, farm):
    fill_up(scene, left=30)
    refused(farm.ask(search_id=None, pairs=PAIRS))
    assert scene.http.get("/v1/fine-tunes").json()["items"] == []
    limit(scene, 10**9)
    before = used(scene)
    job = farm.start(search_id=None, pairs=PAIRS)
    assert used(scene) > before + 30
    scene.http.delete(f"/v1/fine-tunes/{job}")
    assert used(scene) == before


def test_an_adapter_that_has_no_room_is_refused_where_it_is_brought(scene, farm):
    job = farm.start()
    farm.hand_in()
    agent = FakeTrainingAgent(scene.http, TOKEN)
    claimed = agent.claim_next()
    fill_up(scene, left=5)
    refused(agent.deliver(claimed, b"larger than that"))
    assert scene.fine_tuner.delivered == []
    fill_up(scene)
    refused(agent.deliver(claimed, b"x"))
    fill_up(scene, left=100)
    before = used(scene)
    assert agent.deliver(claimed, b"an adapter").status_code == 204
    agent.report(claimed, result=FineTuneResult(job, True, "It fell.", job, 2, 1.0, 0.5))
    assert used(scene) == before + len(b"an adapter")


def test_an_adapter_counts_as_long_as_it_is_kept(scene):
    tuning = FineTuneScene(scene)
    assert tuning.search_id
    limit(scene, 10**9)
    before = used(scene)
    adapter = tuning.finish()
    size = sum(file.size_bytes for file in scene.fine_tuner.kept[adapter].files)
    assert size > 0
    assert used(scene) == before + size
    assert scene.http.delete(f"/v1/adapters/{adapter}").status_code == 204
    assert used(scene) == before
