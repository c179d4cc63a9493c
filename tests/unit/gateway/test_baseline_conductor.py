"""The gateway's own threads take up imports and smoke runs by themselves, also those of an earlier start."""

from dataclasses import asdict, replace

from baseline_scene import Reader, lines, network, upload
from fakes import FakeGeneratorService, outcome
from gateway_scene import gateway_in
from processes import until

from contracts.measurements import SmokeResult


def ended(scene, location: str) -> dict:
    return scene.http.get(location, params={"wait": 30}).json()


def test_what_was_accepted_before_a_restart_is_imported_and_tried_after_it(tmp_path, monkeypatch):
    reader = Reader(lines(network("a"), network("b")))
    monkeypatch.setattr(FakeGeneratorService, "read_baselines", reader.read_baselines, raising=False)
    with gateway_in(tmp_path) as scene:
        waiting = upload(scene).headers["location"]
        (tmp_path / "baseline-imports" / "bi_0.part").write_bytes(b"cut off")
    with gateway_in(tmp_path, conductor=False) as scene:
        assert scene.http.get(waiting).json()["state"] == "queued"
    with gateway_in(tmp_path, conductor=True) as scene:
        scene.agent.heartbeat()
        assert ended(scene, waiting)["progress"]["stored"] == 2
        # A file goes once its import's end is on disk, so that a kill in between costs nothing but the file.
        until(lambda: not list((tmp_path / "baseline-imports").iterdir()), 20, "no file of an import is left")
        run = scene.http.post("/v1/baselines:smoke", json={"dataset": "digits"}).headers["location"]
        for _ in range(2):
            claimed = scene.agent.claim_next(wait=20)
            result = SmokeResult(4, 0.1, 1.0, 1.0, 10**8, claimed_parameters=7)
            answer = replace(outcome(claimed.spec), measurement=None, smoke=result)
            assert scene.agent.send(claimed, asdict(answer)).status_code == 204
        assert ended(scene, run)["progress"]["passed"] == 2
