"""`deltanas baselines`: what it sends, what it prints, and how it ends."""

import subprocess
from pathlib import Path

import pytest

from deltanas.cli import lemur_wheel

IMPORT = {
    "id": "bi_1",
    "state": "succeeded",
    "progress": {
        "total": 3,
        "read": 3,
        "stored": 2,
        "unchanged": 0,
        "refused": {"syntax_error": 1},
        "waiting_for": None,
    },
    "failure": None,
}
RUN = {
    "id": "sm_1",
    "dataset": "digits",
    "state": "succeeded",
    "progress": {
        "total": 4,
        "pending": 0,
        "submitted": 0,
        "passed": 2,
        "failed": 1,
        "lost": 1,
        "cancelled": 0,
        "reused": 1,
        "waiting_for": None,
    },
    "pass_rate": 2 / 3,
    "failures": [{"reason": "timeout", "phase": "train", "networks": 1}],
}


def network(name: str, **fields) -> dict:
    result = {"dataset": "cifar-10", "first_epoch_accuracy": 0.5, "best_accuracy": 0.9, "best_epoch": 5}
    usual = {
        "name": name,
        "origin": "lemur",
        "family": "ResNet",
        "contract": "lemur",
        "description": "",
        "licence": "MIT",
        "results": [result],
        "parameters": 1234,
        "usable_on": ["digits"],
        "smoke": [],
    }
    return {**usual, **fields}


def test_a_list_sends_its_filters_and_prints_what_was_recorded(gateway, deltanas):
    gateway.answer("GET", "/v1/baselines", {"items": [network("lemur/a"), network("lemur/b")]})
    words = ("--origin", "lemur", "--dataset", "cifar-10", "--family", "resnet", "--accuracy-at-least", "0.5")
    ended = deltanas("baselines", "list", *words, "--limit", "1")
    assert ended.code == 0
    assert gateway.heard[0].query == {
        "origin": "lemur",
        "dataset": "cifar-10",
        "family": "resnet",
        "accuracy_at_least": "0.5",
        "sort": "accuracy",
        "limit": "2",
    }
    assert "lemur/a" in ended.out
    assert "50.00 %" in ended.out
    assert "1,234" in ended.out
    assert "lemur/b" not in ended.out
    assert "there are more" in ended.err


def test_a_list_follows_the_pages_up_to_its_limit(gateway, deltanas):
    gateway.answer("GET", "/v1/baselines", {"items": [network("lemur/a")], "next_cursor": "n"})
    gateway.answer("GET", "/v1/baselines", {"items": [network("lemur/b")], "next_cursor": None})
    items = deltanas("baselines", "list", "--json").json["items"]
    assert [item["name"] for item in items] == ["lemur/a", "lemur/b"]
    assert [heard.query.get("cursor") for heard in gateway.heard] == [None, "n"]


def test_show_prints_the_source_alone_and_the_facts_beside_it(gateway, deltanas):
    smoke = [{"dataset": "digits", "passed": False, "failure": {"reason": "build_error"}}]
    gateway.answer("GET", "/v1/baselines/lemur%2Fa", network("lemur/a", source="class Net:\n", smoke=smoke))
    ended = deltanas("baselines", "show", "lemur/a")
    assert ended.out == "class Net:\n"
    for fact in ("MIT", "cifar-10", "90.00 %", "build_error"):
        assert fact in ended.err


def test_families_count_what_there_is(gateway, deltanas):
    gateway.answer("GET", "/v1/baselines/facets", {"families": [{"value": "ResNet", "networks": 12345}]})
    assert "12,345" in deltanas("baselines", "families").out


def test_an_import_sends_the_file_and_waits_for_its_end(gateway, deltanas, tmp_path):
    wheel = tmp_path / "x.whl"
    wheel.write_bytes(b"wheel" * 1000)
    gateway.answer("POST", "/v1/baselines:import", {**IMPORT, "state": "queued"}, status=202)
    gateway.answer("GET", "/v1/baselines/imports/bi_1", {**IMPORT, "state": "running"})
    gateway.answer("GET", "/v1/baselines/imports/bi_1", IMPORT)
    ended = deltanas("baselines", "import", "lemur", "--wheel", wheel)
    assert ended.code == 0
    sent = gateway.heard[0]
    assert (sent.query, sent.body) == ({"origin": "lemur"}, b"wheel" * 1000)
    assert sent.headers["content-type"] == "application/octet-stream"
    assert "refused: syntax_error" in ended.out
    assert len(gateway.heard) == 3


@pytest.mark.parametrize(("code", "exit_code"), [("wheel_not_a_zip", 2), ("disk_full", 3)])
def test_a_failed_import_says_why_and_whose_fault_it_is(gateway, deltanas, tmp_path, code, exit_code):
    failure = {"code": code, "message": "It went wrong.", "remedy": "Do better."}
    gateway.answer(
        "POST", "/v1/baselines:import", {**IMPORT, "state": "failed", "failure": failure}, status=202
    )
    wheel = tmp_path / "x.whl"
    wheel.write_bytes(b"x")
    for words in ((), ("--json",)):
        ended = deltanas("baselines", "import", "lemur", "--wheel", wheel, *words)
        assert ended.code == exit_code
        assert "It went wrong." in ended.err
        assert "Do better." in ended.err


@pytest.mark.parametrize(
    "words",
    [
        ("import", "lemur"),
        ("import", "lemur", "--wheel", "x", "--download"),
        ("import", "lemur", "--wheel", "/nowhere/x.whl"),
        ("import", "oak", "--download"),
        ("smoke",),
        ("smoke", "--dataset", "digits", "--cancel"),
        ("smoke", "--dataset", "digits", "--run", "sm_1"),
        ("smoke", "--dataset", "digits", "--limit", "0"),
    ],
)
def test_what_makes_no_sense_is_bad_usage_and_sends_nothing(gateway, deltanas, words):
    assert deltanas("baselines", *words).code == 2
    assert gateway.heard == []


def test_a_smoke_run_is_followed_and_its_pass_rate_told_by_reason(gateway, deltanas):
    gateway.answer("POST", "/v1/baselines:smoke", {**RUN, "state": "running"}, status=202)
    gateway.answer("GET", "/v1/baselines/smoke-runs/sm_1", RUN)
    words = ("--name", "lemur/a", "--name", "lemur/b", "--accuracy-at-least", "0.4", "--limit", "2")
    ended = deltanas("baselines", "smoke", "--dataset", "digits", *words)
    assert ended.code == 0
    assert gateway.heard[0].json == {
        "dataset": "digits",
        "names": ["lemur/a", "lemur/b"],
        "recorded_on": "digits",
        "accuracy_at_least": 0.4,
        "limit": 2,
    }
    assert "timeout (train)" in ended.out
    assert "pass rate 66.67 %" in ended.out
    assert "in no rate" in ended.out


def test_a_smoke_run_can_be_found_again_and_ended(gateway, deltanas):
    gateway.answer("GET", "/v1/baselines/smoke-runs/sm_1", RUN)
    assert deltanas("baselines", "smoke", "--run", "sm_1", "--json").json == RUN
    gateway.answer("POST", "/v1/baselines/smoke-runs/sm_1:cancel", {**RUN, "state": "cancelled"})
    assert deltanas("baselines", "smoke", "--run", "sm_1", "--cancel", "--json").json["state"] == "cancelled"


def test_a_download_asks_pip_for_exactly_one_file_by_its_hash(gateway, deltanas, monkeypatch):
    asked = []

    def pip(command, **_):
        folder = Path(command[command.index("--dest") + 1])
        (folder / "nn_dataset-2.1.2-py3-none-any.whl").write_bytes(b"the wheel")
        asked.append((command, (folder / "requirements.txt").read_text(), folder))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(lemur_wheel.subprocess, "run", pip)
    gateway.answer("POST", "/v1/baselines:import", IMPORT, status=202)
    assert deltanas("baselines", "import", "lemur", "--download").code == 0
    command, requirements, folder = asked[0]
    assert {"--no-deps", "--require-hashes"} <= set(command)
    assert requirements == f"nn-dataset==2.1.2 --hash=sha256:{lemur_wheel.SHA256}\n"
    assert gateway.heard[0].body == b"the wheel"
    assert not folder.exists()


def test_a_download_without_internet_says_so_and_names_the_way_around(gateway, deltanas, monkeypatch):
    def pip(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no connection\n")

    monkeypatch.setattr(lemur_wheel.subprocess, "run", pip)
    ended = deltanas("baselines", "import", "lemur", "--download")
    assert ended.code == 3
    assert "no connection" in ended.err
    assert "--wheel" in ended.err
    assert gateway.heard == []
