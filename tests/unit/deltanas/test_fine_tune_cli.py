"""`deltanas fine-tune` and `deltanas adapters`: what they send, what they show, how they end."""

import hashlib

import pytest

JOBS = "/v1/fine-tunes"
WEIGHTS = "weights"
FILE = {
    "name": "adapter_model.safetensors",
    "size_bytes": len(WEIGHTS),
    "sha256": hashlib.sha256(WEIGHTS.encode()).hexdigest(),
}
RESULT = {
    "adapter": "ft_1", "adopted": True, "reason": "The loss fell.", "use": "ft_1", "best_step": 2,
    "validation_loss_before": 1.5, "validation_loss_after": 0.5,
    "valid_rate_before": 0.1, "valid_rate_after": 0.6,
}  # fmt: skip
ADAPTER = {
    "id": "ft_1", "base_model": "tiny", "base_source": "org/tiny", "base_weights_sha256": "0" * 64,
    "parent_adapter": None, "search_id": "se_1", "result": RESULT, "files": [FILE], "steps": 2,
    "chats": {"train": 3, "validation": 1},
    "settings": {"preset": "cpu", "rank": 16, "alpha": 32, "learning_rate": 2e-4, "epochs": 3, "seed": 0},
}  # fmt: skip


def job(state: str = "succeeded", **fields) -> dict:
    usual = {
        "id": "ft_1", "state": state, "phase": "", "progress": None, "waiting_for": None,
        "failure": None, "result": RESULT if state == "succeeded" else None,
    }  # fmt: skip
    return {**usual, **fields}


def test_it_sends_what_was_said_and_follows_to_the_end(gateway, deltanas):
    gateway.answer("POST", JOBS, job("queued"), status=202)
    running = job("running", phase="training", progress={"step": 1, "steps": 2, "train_loss": 0.9})
    gateway.answer("GET", f"{JOBS}/ft_1", running)
    gateway.answer("GET", f"{JOBS}/ft_1", job())
    ended = deltanas(
        "fine-tune", "--model", "tiny", "--search", "se_1", "--dataset", "mnist", "--max-pairs", "9",
        "--rank", "8", "--target", "q_proj", "--target", "v_proj", "--probe", "20",
    )  # fmt: skip
    assert ended.code == 0
    assert gateway.heard[0].json == {
        "model": "tiny", "preset": "cpu", "seed": 0, "search_id": "se_1", "rank": 8,
        "training_pairs": {"dataset": "mnist", "max_pairs": 9}, "targets": ["q_proj", "v_proj"],
        "probe": {"samples": 20},
    }  # fmt: skip
    assert "1.5000" in ended.out
    assert "60.00 %" in ended.out
    assert "adopted: The loss fell." in ended.out


def test_pairs_of_ones_own_are_sent_as_their_file_has_them(gateway, deltanas, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"dataset": "mnist", "baseline": "tiny", "delta": "@@ a"}\n\n{"dataset": "mnist"}\n')
    gateway.answer("POST", JOBS, job("queued"), status=202)
    gateway.answer("GET", f"{JOBS}/ft_1", job())
    ended = deltanas("fine-tune", "--model", "tiny", "--pairs", str(pairs), "--quantization", "auto")
    assert ended.code == 0
    assert gateway.heard[0].json["quantization"] == "auto"
    assert gateway.heard[0].json["pairs"] == [
        {"dataset": "mnist", "baseline": "tiny", "delta": "@@ a"},
        {"dataset": "mnist"},
    ]


def test_a_file_of_pairs_that_is_none_is_refused_by_its_line(gateway, deltanas, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("{}\n@@ -1 +1 @@\n")
    ended = deltanas("fine-tune", "--model", "tiny", "--pairs", str(pairs))
    assert ended.code == 2
    assert "line 2" in ended.err
    assert "one JSON object on each line" in ended.err.replace("\n", " ")
    assert not gateway.heard


def test_as_json_it_prints_the_job(gateway, deltanas):
    gateway.answer("POST", JOBS, job("queued"), status=202)
    gateway.answer("GET", f"{JOBS}/ft_1", job())
    assert deltanas("fine-tune", "--model", "tiny", "--search", "se_1", "--json").json == job()


def test_a_failed_job_is_the_platforms_and_names_the_remedy(gateway, deltanas):
    failure = {"reason": "out_of_memory", "message": "It needs more.", "remedy": "Shorten the chats."}
    gateway.answer("GET", f"{JOBS}/ft_1", job("failed", failure=failure))
    ended = deltanas("fine-tune", "--job", "ft_1")
    assert ended.code == 3
    assert "out_of_memory: It needs more." in ended.err
    assert "Shorten the chats." in ended.err


def test_a_job_is_cancelled_by_its_id(gateway, deltanas):
    gateway.answer("DELETE", f"{JOBS}/ft_1", job("cancelled"))
    assert deltanas("fine-tune", "--job", "ft_1", "--cancel").code == 0
    assert [heard.method for heard in gateway.heard] == ["DELETE"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--model"),
        (("--model", "a", "--job", "ft_1"), "--job"),
        (("--model", "a", "--cancel"), "--job"),
        (("--model", "a", "--search", "se_1", "--max-pairs", "5"), "--dataset"),
    ],
)
def test_what_does_not_go_together_is_bad_usage(gateway, deltanas, words, said):
    ended = deltanas("fine-tune", *words)
    assert ended.code == 2
    assert said in ended.err
    assert not gateway.heard


def test_adapters_are_listed_and_shown(gateway, deltanas):
    gateway.answer("GET", "/v1/adapters", {"items": [ADAPTER], "next_cursor": None})
    gateway.answer("GET", "/v1/adapters/ft_1", ADAPTER)
    listed = deltanas("adapters", "list")
    assert (listed.code, "tiny" in listed.out, "0.5000" in listed.out) == (0, True, True)
    assert deltanas("adapters", "list", "--json").json == [ADAPTER]
    shown = deltanas("adapters", "show", "ft_1")
    assert "org/tiny" in shown.out
    assert deltanas("adapters", "show", "ft_1", "--json").json == ADAPTER


def test_a_download_is_checked_and_complete(gateway, deltanas, tmp_path):
    gateway.answer("GET", "/v1/adapters/ft_1", ADAPTER)
    gateway.answer("GET", f"/v1/adapters/ft_1/files/{FILE['name']}", WEIGHTS)
    gateway.answer("GET", "/v1/adapters/ft_1/files/manifest.json", "{}")
    assert deltanas("adapters", "download", "ft_1", "-o", str(tmp_path / "out")).code == 0
    assert (tmp_path / "out" / FILE["name"]).read_text() == WEIGHTS
    assert {path.name for path in (tmp_path / "out").iterdir()} == {FILE["name"], "manifest.json"}


def test_a_file_that_is_not_the_manifests_is_not_kept(gateway, deltanas, tmp_path):
    gateway.answer("GET", "/v1/adapters/ft_1", ADAPTER)
    gateway.answer("GET", f"/v1/adapters/ft_1/files/{FILE['name']}", "other")
    ended = deltanas("adapters", "download", "ft_1", "-o", str(tmp_path / "out"))
    assert (ended.code, list((tmp_path / "out").iterdir())) == (3, [])


@pytest.mark.parametrize("name", ["..", "../up", "/etc/passwd", ".bashrc", ""])
def test_a_file_whose_name_leads_elsewhere_is_not_fetched(gateway, deltanas, tmp_path, name):
    gateway.answer("GET", "/v1/adapters/ft_1", {**ADAPTER, "files": [{**FILE, "name": name}]})
    ended = deltanas("adapters", "download", "ft_1", "-o", str(tmp_path / "out"))
    assert (ended.code, list((tmp_path / "out").iterdir())) == (3, [])
    assert [heard.path for heard in gateway.heard] == ["/v1/adapters/ft_1"]


def test_an_adapter_in_use_is_not_removed(gateway, deltanas):
    problem = {"code": "adapter_in_use", "detail": "needed by ft_2", "remedy": "Cancel it."}
    gateway.answer("DELETE", "/v1/adapters/ft_1", problem, status=409)
    ended = deltanas("adapters", "remove", "ft_1")
    assert ended.code == 2
    assert "needed by ft_2" in ended.err


def test_a_search_shows_what_each_cycle_proposed_with_and_what_was_learnt_then(gateway, deltanas):
    path = "/v1/searches/se_1"
    search = {
        "id": "se_1", "name": "learns", "state": "running", "request": {"fine_tune": {"every": 1}},
        "progress": {"cycle": 2, "cycles": 3, "slots_done": 3, "slots_total": 4},
    }  # fmt: skip
    chats = {"elite": 3, "replayed": 2, "lemur": 0, "mutation": 0, "left_out": {"too_long": 9}}
    learnt = {"id": "ft_1", "state": "succeeded", "chats": chats, "result": RESULT, "failure": None}
    failure = {"reason": "out_of_memory", "message": "It took too much."}
    failed = {"id": "ft_2", "state": "failed", "chats": None, "result": None, "failure": failure}
    cycles = [
        {"cycle": 0, "adapter": None, "fine_tune": None},
        {"cycle": 1, "adapter": None, "fine_tune": learnt},
        {"cycle": 2, "adapter": "ft_1", "fine_tune": failed},
    ]
    gateway.answer("GET", path, search)
    gateway.answer("GET", f"{path}/candidates", {"items": []})
    gateway.answer("GET", f"{path}/cycles", {"items": cycles})
    shown = " ".join(deltanas("search", "show", "se_1").out.split())
    assert "1 the model as it is 5 1.5000 0.5000 ft_1: adopted, The loss fell." in shown
    assert "2 ft_1 – – – ft_2: failed, out_of_memory: It took too much." in shown
    assert deltanas("search", "show", "se_1", "--json").json["cycles"] == cycles
