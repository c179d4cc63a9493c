"""Every verb against a gateway that gives prepared answers: what is asked, shown and returned."""

import contextlib
import io

import pytest
from rich.console import Console

from deltanas.cli.output import table

ESCAPE = "\x1b[31mred\x1b[0m [bold]markup[/bold] \u202e"
MEASURED = {
    "id": "ev_1",
    "state": "succeeded",
    "failure": None,
    "measurement": {
        "accuracy": 0.9012, "accuracy_standard_error": 0.003, "evaluated_images": 10_000,
        "cpu_seconds": 21.52, "wall_seconds": 22.0, "peak_memory_bytes": 512 * 2**20,
        "claimed_parameters": 120_000,
    },
    "isolation": {"tier": "namespaces"},
    "flags": ["standard_split_may_be_memorised"],
}  # fmt: skip
FAILED = {
    "id": "ev_1",
    "state": "failed",
    "measurement": None,
    "failure": {
        "reason": "timeout", "phase": "train", "message": ESCAPE, "location": "line 9",
        "remedy": "Be cheaper.",
    },
}  # fmt: skip


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "net.py"
    file.write_text("class Net: ...\n")
    return file


def accept(gateway, ended):
    gateway.answer("POST", "/v1/evaluations", {"id": "ev_1", "state": "queued"}, status=202)
    gateway.answer("GET", "/v1/evaluations/ev_1", ended)


def test_evaluate_shows_the_score_and_exits_0(gateway, deltanas, source):
    accept(gateway, MEASURED)
    ended = deltanas("evaluate", source, "--dataset", "mnist", "--set", "lr=1e-3", "--limit", "pids=64")
    assert ended.code == 0
    assert "90.12 ± 0.30 %" in ended.out
    assert "512 MiB" in ended.out
    asked = gateway.heard[0].json
    assert asked["source"] == "class Net: ...\n"
    assert asked["hyperparameters"] == {"lr": 0.001}
    assert asked["limits"] == {"pids": 64}
    assert asked["seed"] == 0


def test_evaluate_names_a_url_that_is_told_of_the_end(gateway, deltanas, source):
    accept(gateway, MEASURED)
    url = "https://hooks.example.org/told"
    assert deltanas("evaluate", source, "--dataset", "mnist", "--callback-url", url).code == 0
    assert gateway.heard[0].json["callback_url"] == url


def test_evaluate_prints_one_json_document_and_nothing_else(gateway, deltanas, source):
    accept(gateway, MEASURED)
    ended = deltanas("evaluate", source, "--dataset", "mnist", "--seed", 1, "--seed", 2, "--json")
    assert ended.json == MEASURED
    assert ended.err == ""
    assert gateway.heard[0].json["seeds"] == [1, 2]


def test_a_failed_candidate_exits_1_and_its_text_cannot_steer_the_terminal(gateway, deltanas, source):
    accept(gateway, FAILED)
    ended = deltanas("evaluate", source, "--dataset", "mnist")
    assert ended.code == 1
    assert "timeout (train)" in ended.out
    assert "line 9" in ended.out
    assert "[bold]markup[/bold]" in ended.out
    assert "\x1b" not in ended.out
    assert "\u202e" not in ended.out


def test_a_platform_failure_exits_3(gateway, deltanas, source):
    accept(gateway, {**FAILED, "failure": {"reason": "infrastructure", "message": "lost"}})
    assert deltanas("evaluate", source, "--dataset", "mnist").code == 3


def test_a_refused_request_exits_2_and_names_field_value_and_remedy(gateway, deltanas, source):
    problem = {
        "status": 422, "code": "invalid_request", "detail": "must be at least 1", "field": "epochs",
        "value": -1, "remedy": "Send 1 or more.",
        "errors": [{"field": "epochs"}, {"field": "seed", "message": "no", "value": "x"}],
    }  # fmt: skip
    gateway.answer("POST", "/v1/evaluations", problem, status=422)
    ended = deltanas("evaluate", source, "--dataset", "mnist", "--epochs=-1")
    assert ended.code == 2
    assert "epochs: must be at least 1 (the value was -1)" in ended.err
    assert "Send 1 or more." in ended.err
    assert "seed: no" in ended.err
    assert deltanas("evaluate", source, "--dataset", "mnist", "--json").json == problem


def test_a_broken_platform_exits_3(gateway, deltanas, source):
    gateway.answer("POST", "/v1/evaluations", {"detail": "the gateway failed"}, status=500)
    ended = deltanas("evaluate", source, "--dataset", "mnist")
    assert ended.code == 3
    assert "the gateway failed" in ended.err


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "--dataset", "mnist"),
        ("evaluate", "{source}"),
        ("evaluate", "missing.py", "--dataset", "mnist"),
        ("evaluate", "{source}", "--baseline", "residual", "--dataset", "mnist"),
        ("evaluate", "{source}", "--dataset", "mnist", "--set", "lr"),
        ("search", "run", "missing.yaml"),
        ("nonsense",),
    ],
)
def test_bad_usage_exits_2_before_anything_is_asked(gateway, deltanas, source, words):
    ended = deltanas(*(word.format(source=source) for word in words))
    assert ended.code == 2
    assert ended.err
    assert gateway.heard == []


def test_a_file_that_is_no_text_is_bad_usage(gateway, deltanas, tmp_path):
    binary = tmp_path / "net.py"
    binary.write_bytes(b"\xff\xfe")
    ended = deltanas("evaluate", binary, "--dataset", "mnist")
    assert ended.code == 2
    assert "UTF-8" in ended.err


def test_a_delta_that_fits_gives_the_source_alone_on_standard_output(gateway, deltanas, source, tmp_path):
    applied = {
        "status": "applied", "reason": "", "message": "", "confidence": 1.0, "source": "class Net:\n\tpass\n",
        "canonical_delta": "", "hunks": [{"number": 1, "status": "moved", "line": 3, "message": ""}],
    }  # fmt: skip
    gateway.answer("POST", "/v1/deltas:apply", applied)
    result = tmp_path / "result.py"
    ended = deltanas("delta", "apply", source, source, "-o", result)
    assert ended.code == 0
    assert result.read_text() == "class Net:\n\tpass\n"
    assert gateway.heard[0].json["baseline_source"] == "class Net: ...\n"
    assert deltanas("delta", "apply", "residual", source).out == "class Net:\n\tpass\n"
    assert gateway.heard[1].json["baseline"] == "residual"


def test_a_delta_that_does_not_fit_exits_1_and_says_why(gateway, deltanas, source):
    refused = {
        "status": "refused", "reason": "hunk_unplaceable", "message": "line 14 reads otherwise",
        "confidence": 0.0, "source": None,
        "hunks": [{"number": 1, "status": "refused", "line": None, "message": "no place"}],
    }  # fmt: skip
    gateway.answer("POST", "/v1/deltas:apply", refused)
    ended = deltanas("delta", "apply", source, source)
    assert ended.code == 1
    assert "hunk_unplaceable" in ended.err
    assert "line 14 reads otherwise" in ended.err
    assert ended.out == ""


def test_novelty_says_what_it_is_a_copy_of(gateway, deltanas, source):
    nearest = [{"id": "library-residual", "jaccard": 0.97, "label": "residual"}]
    told = {"layer": "structure", "nearest": nearest, "difference": ["-    x = a(x)", "+    y = b(y)\x1b[2J"]}
    gateway.answer("POST", "/v1/novelty:check", {"novel": False, **told})
    ended = deltanas("novelty", source, "--search", "se_1")
    assert ended.code == 0
    assert "computes the same" in ended.out
    assert "-    x = a(x)\n+    y = b(y)" in ended.out
    assert "\x1b" not in ended.out
    assert "0.970" in ended.out
    assert gateway.heard[0].json == {"source": "class Net: ...\n", "scope": "se_1"}


def test_preparing_a_dataset_waits_until_it_is_ready(gateway, deltanas):
    preparing = {"name": "mnist", "ready": False, "problem": "preparing: packing"}
    ready = {"name": "mnist", "ready": True, "train_images": 60_000, "evaluation_images": 10_000}
    gateway.answer("POST", "/v1/datasets/mnist:prepare", preparing, status=202)
    gateway.answer("GET", "/v1/datasets", {"items": [ready]})
    ended = deltanas("datasets", "prepare", "mnist", "--json")
    assert ended.code == 0
    assert ended.json == ready


def test_a_dataset_that_cannot_be_prepared_exits_3_with_the_reason(gateway, deltanas):
    broken = {"name": "svhn", "ready": False, "problem": "No source gave svhn."}
    gateway.answer("POST", "/v1/datasets/svhn:prepare", broken, status=202)
    ended = deltanas("datasets", "prepare", "svhn")
    assert ended.code == 3
    assert "No source gave svhn." in ended.err


def test_lists_show_what_is_there(gateway, deltanas):
    mnist = {
        "name": "mnist", "ready": True, "input_shape": [1, 28, 28], "classes": 10, "train_images": 60_000,
        "evaluation_images": 10_000, "source": "package",
    }  # fmt: skip
    svhn = {"name": "svhn", "ready": False, "problem": "run prepare"}
    gateway.answer("GET", "/v1/datasets", {"items": [mnist, svhn]})
    shown = deltanas("datasets", "list").out
    assert "1 × 28 × 28" in shown
    assert "60,000" in shown
    assert "run prepare" in shown
    baseline = {
        "name": "residual",
        "family": "residual",
        "contract": "plain",
        "description": "small",
        "source": "class Net:\n",
    }
    gateway.answer("GET", "/v1/baselines", {"items": [baseline]})
    gateway.answer("GET", "/v1/baselines/residual", baseline)
    assert "residual" in deltanas("baselines", "list").out
    assert deltanas("baselines", "show", "residual").out == "class Net:\n"
    assert deltanas("baselines", "show", "nope").code == 2


def test_a_search_file_that_is_no_mapping_is_bad_usage(gateway, deltanas, tmp_path):
    for text in ("- a list", "a: [unclosed", "just words", "1: number"):
        (tmp_path / "search.yaml").write_text(text)
        assert deltanas("search", "run", tmp_path / "search.yaml").code == 2
    assert gateway.heard == []


@pytest.mark.parametrize("value", ["2026-01-01", ".nan", ".inf", "&a [*a]"])
def test_a_search_file_that_cannot_be_written_as_json_is_bad_usage(gateway, deltanas, tmp_path, value):
    (tmp_path / "search.yaml").write_text(f"dataset: mnist\noptions: {value}\n")
    ended = deltanas("search", "run", tmp_path / "search.yaml")
    assert ended.code == 2
    assert "cannot be written as JSON" in " ".join(ended.err.split())  # wrapped to the terminal's width
    assert "Traceback" not in ended.err
    assert gateway.heard == []


@pytest.mark.parametrize("setting", ["lr", "lr=[", "lr=[1]", "=1", "lr=2026-01-01", "lr=nan"])
def test_a_setting_that_is_none_is_bad_usage(gateway, deltanas, source, setting):
    ended = deltanas("evaluate", source, "--dataset", "mnist", "--set", setting)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert gateway.heard == []


@pytest.mark.parametrize(
    "address", ["nonsense", "http://127.0.0.1:99999", "unix:relative.sock", "http://[::1"]
)
def test_an_address_that_is_none_is_bad_usage(gateway, deltanas, monkeypatch, address):
    monkeypatch.setenv("DELTANAS_GATEWAY_ADDRESS", address)
    ended = deltanas("datasets", "list")
    assert ended.code == 2
    assert address in ended.err


def test_a_delta_result_that_cannot_be_written_is_bad_usage(gateway, deltanas, source, tmp_path):
    applied = {"status": "applied", "reason": "", "message": "", "confidence": 1, "source": "x", "hunks": []}
    gateway.answer("POST", "/v1/deltas:apply", applied)
    ended = deltanas("delta", "apply", "-o", tmp_path / "no" / "where.py", "n" * 300, source)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert deltanas("delta", "apply", "-o", tmp_path / "there.py", source, source).code == 0
    assert (tmp_path / "there.py").read_text() == "x"


def test_a_bug_of_the_command_line_is_not_blamed_on_the_candidate(gateway, deltanas, monkeypatch):
    def explode(*_, **__):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("deltanas.cli.datasets.table", explode)
    gateway.answer("GET", "/v1/datasets", {"items": []})
    ended = deltanas("datasets", "list")
    assert ended.code == 3
    assert "deltanas itself failed: ZeroDivisionError" in ended.err


def test_a_full_disk_behind_standard_output_exits_3(gateway, deltanas, monkeypatch):
    gateway.answer("GET", "/v1/datasets", {"items": []})
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        ended = deltanas("datasets", "list", "--json")
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()
    assert ended.code == 3
    assert "No space left" in ended.err


def test_every_field_at_fault_is_named_once(gateway, deltanas, source):
    wrong = "no such field"
    problem = {
        "status": 422, "code": "invalid_request", "detail": f"one: {wrong}", "field": "one", "value": 1,
        "errors": [{"field": name, "message": wrong, "value": 1} for name in ("one", "two", "three")],
    }  # fmt: skip
    gateway.answer("POST", "/v1/evaluations", problem, status=422)
    said = deltanas("evaluate", source, "--dataset", "mnist").err
    assert [said.count(f"{name}: {wrong}") for name in ("one", "two", "three")] == [1, 1, 1]


def test_without_arguments_the_first_steps_are_shown(deltanas):
    shown = deltanas()
    assert "deltanas doctor" in shown.out + shown.err
    assert "datasets prepare fashion-mnist" in shown.out + shown.err


def test_the_version_is_printed(deltanas):
    ended = deltanas("--version")
    assert (ended.code, ended.out.split()[0]) == (0, "deltanas")


def test_rows_keep_their_names_on_a_narrow_terminal():
    shown = table("name", "note", "train", "evaluation", right=("train", "evaluation"))
    shown.add_row("mnist", "why not", "60,000", "10,000")
    console = Console(width=30, file=io.StringIO())
    console.print(shown)
    assert "mnist" in console.file.getvalue()
