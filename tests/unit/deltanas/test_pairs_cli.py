"""`deltanas pairs make`: what it sends, what it writes, and that it writes all or nothing."""

import hashlib
import json

import pytest

from deltanas import Client
from deltanas.cli.pair_files import PairFiles
from deltanas.errors import PlatformFailed

PATH = "/v1/training-pairs"


def pair(split: str = "train", kind: str = "lemur", lines: int = 7, **fields) -> dict:
    """A pair as the server gives it; U+2028 ends a line to some readers."""
    messages = [
        {"role": "user", "content": "improve\u2028this"},
        {"role": "assistant", "content": "-a\n+b\n"},
    ]
    return {"split": split, "kind": kind, "messages": messages, "metadata": {"delta_lines": lines}, **fields}


PAIRS = [pair(), pair("validation", lines=30), pair(kind="mutation", lines=58)]


def written(pairs, split) -> bytes:
    chosen = [found for found in pairs if found["split"] == split]
    return b"".join(json.dumps(found, separators=(",", ":")).encode() + b"\n" for found in chosen)


def summary(pairs=PAIRS, **fields) -> dict:
    splits = ("train", "validation")
    return {
        "settings": {"dataset": "cifar-10", "seed": 0},
        "packages": [{"package": "nn-dataset", "version": "2.1.2", "licence": "MIT"}],
        "pairs": {
            split: {
                kind: sum((found["split"], found["kind"]) == (split, kind) for found in pairs)
                for kind in ("lemur", "mutation")
            }
            for split in splits
        },
        "left_out": {"lemur": {"too_long": 1234, "across_splits": 5}, "mutation": {}},
        "delta_lines": {"train": {"7": 1, "58": 1}, "validation": {"30": 1}},
        "sha256": {split: hashlib.sha256(written(pairs, split)).hexdigest() for split in splits},
        **fields,
    }


def stream(*lines: dict) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


def whole(pairs=PAIRS, **fields) -> str:
    return stream(
        {"progress": {"step": "comparing", "done": 1, "total": 20}},
        *({"pair": found} for found in pairs),
        {"progress": {"step": "pairs", "done": 3, "total": 3}},
        {"summary": summary(pairs, **fields)},
    )


def make(deltanas, folder, *more):
    return deltanas("pairs", "make", "--dataset", "cifar-10", "--output", folder, *more)


def files(folder) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_the_options_are_sent_and_those_left_out_are_the_servers(gateway, deltanas, tmp_path):
    gateway.answer("POST", PATH, whole())
    words = ("--min-gain", "0.01", "--at-least", "0.6", "--pairs-per-network", "2", "--seed", "3")
    assert make(deltanas, tmp_path / "out", *words, "--most-lines", "40").code == 0
    assert gateway.heard[0].json == {
        "dataset": "cifar-10",
        "min_gain": 0.01,
        "at_least": 0.6,
        "pairs_per_network": 2,
        "seed": 3,
        "most_lines": 40,
    }


def test_pairs_go_to_the_file_of_their_split_and_the_manifest_tells_of_both(gateway, deltanas, tmp_path):
    gateway.answer("POST", PATH, whole())
    folder = tmp_path / "new" / "out"
    ended = make(deltanas, folder)
    assert ended.code == 0, ended.err
    assert files(folder) == {"train.jsonl", "validation.jsonl", "manifest.json"}
    lines = (folder / "train.jsonl").read_bytes().split(b"\n")[:-1]
    assert [json.loads(line) for line in lines] == [PAIRS[0], PAIRS[2]]
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("train.jsonl", "validation.jsonl"):
        content = (folder / name).read_bytes()
        assert manifest["files"][name]["sha256"] == hashlib.sha256(content).hexdigest()
        assert manifest["files"][name]["bytes"] == len(content)
        assert manifest["files"][name]["pairs"] == content.count(b"\n")
    assert manifest["packages"][0]["version"] == "2.1.2"
    assert manifest["settings"]["seed"] == 0


def test_counts_reasons_and_a_histogram_are_shown(gateway, deltanas, tmp_path):
    gateway.answer("POST", PATH, whole())
    shown = make(deltanas, tmp_path / "out").out
    rows = [line.split() for line in shown.splitlines()]
    assert ["train", "1", "1", "2"] in rows
    assert ["lemur", "too_long", "1,234"] in rows
    assert [row[1] for row in rows if row and "–" in row[0]].count("1") == 3
    assert shown.count("█") >= 3


def test_json_is_the_manifest_and_nothing_else(gateway, deltanas, tmp_path):
    gateway.answer("POST", PATH, whole())
    ended = make(deltanas, tmp_path / "out", "--json")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert ended.json == {"output": str(tmp_path / "out"), **manifest}
    assert ended.err == ""


PROBLEM = {"status": 503, "code": "service_unavailable", "detail": "The filter is gone.", "remedy": "Wait."}
BROKEN = {
    "without a summary": stream({"pair": PAIRS[0]}),
    "with a failure": stream({"pair": PAIRS[0]}, {"failed": PROBLEM}),
    "with a conflict": stream({"pair": PAIRS[0]}, {"failed": {**PROBLEM, "status": 409}}),
    "with a pair too few": whole(PAIRS[:2], sha256=summary()["sha256"]),
    "with an unknown split": whole([pair("test")]),
    "with no JSON": whole().replace('{"summary"', '{"summ'),
    "with a list": stream(["pair"]),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
def test_an_answer_that_is_not_whole_leaves_what_was_there(gateway, deltanas, tmp_path, answer):
    gateway.answer("POST", PATH, whole())
    gateway.answer("POST", PATH, answer)
    folder = tmp_path / "out"
    assert make(deltanas, folder).code == 0
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    ended = make(deltanas, folder)
    assert ended.code == 3
    assert ended.err
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_an_answer_that_breaks_off_leaves_nothing(gateway, deltanas, tmp_path):
    gateway.answer("POST", PATH, stream({"pair": PAIRS[0]}), cut_off="1")
    ended = make(deltanas, tmp_path / "out")
    assert ended.code == 3
    assert "broke off" in ended.err
    assert files(tmp_path / "out") == set()


def test_without_imported_networks_the_command_that_imports_them_is_named(gateway, deltanas, tmp_path):
    problem = {
        "code": "no_recorded_networks",
        "detail": "No network is imported yet.",
        "field": "dataset",
        "remedy": "Run `deltanas baselines import lemur --download` first.",
    }
    gateway.answer("POST", PATH, problem, status=422)
    ended = make(deltanas, tmp_path / "out")
    assert ended.code == 2
    assert "deltanas baselines import lemur --download" in ended.err
    assert files(tmp_path / "out") == set()


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_or_broken_is_the_platforms_fault(gateway, deltanas, tmp_path, status):
    gateway.answer("POST", PATH, {"code": "x", "detail": "not now"}, status=status)
    ended = make(deltanas, tmp_path / "out")
    assert ended.code == 3
    assert "not now" in ended.err


def test_a_folder_that_cannot_be_written_to_is_bad_usage_and_nothing_is_asked(gateway, deltanas, tmp_path):
    (tmp_path / "file").write_text("here")
    ended = make(deltanas, tmp_path / "file")
    assert ended.code == 2
    assert "output" in ended.err
    assert not gateway.heard


def test_a_folder_that_somebody_is_writing_to_is_left_to_them(gateway, deltanas, tmp_path):
    gateway.answer("POST", PATH, whole())
    with PairFiles(tmp_path) as first:
        for found in PAIRS:
            first.add(found)
        ended = make(deltanas, tmp_path)
        assert (ended.code, "another process" in ended.err) == (2, True)
        assert gateway.heard == []
        first.finish(summary())
    assert files(tmp_path) == {"train.jsonl", "validation.jsonl", "manifest.json"}
    assert (tmp_path / "train.jsonl").read_bytes() == written(PAIRS, "train")
    assert make(deltanas, tmp_path).code == 0


def test_the_client_gives_the_lines_and_ends_with_the_summary(gateway):
    gateway.answer("POST", PATH, whole())
    with Client(gateway.address) as client:
        lines = list(client.training_pairs(dataset="cifar-10", seed=1))
    assert [next(iter(line)) for line in lines] == ["progress", "pair", "pair", "pair", "progress", "summary"]
    assert gateway.heard[0].json == {"dataset": "cifar-10", "seed": 1}


def test_the_client_never_ends_quietly_before_the_summary(gateway):
    gateway.answer("POST", PATH, stream({"pair": PAIRS[0]}))
    with Client(gateway.address) as client, pytest.raises(PlatformFailed, match="before their summary"):
        list(client.training_pairs(dataset="cifar-10"))


def test_the_help_names_the_defaults_that_the_server_has(deltanas):
    from gateway.schemas.training_pairs_body import TrainingPairsBody

    shown = " ".join(deltanas("pairs", "make", "--help").out.replace("│", " ").split())
    for name, field in TrainingPairsBody.model_fields.items():
        if not field.is_required():
            assert f"--{name.replace('_', '-')}" in shown
            assert f"Default {field.default}." in shown
