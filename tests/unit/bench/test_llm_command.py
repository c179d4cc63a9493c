import json
import os
import subprocess
import sys
from pathlib import Path

import llm.__main__ as command
import pytest
from llm.measuring import read_summaries
from llm.plan import Plan
from llm.reading import TABLE

BENCH = Path(__file__).parents[2] / "bench"
ROWS = "number,id,baseline,confidence,judgement,note\n1,ab,plain-cnn,1.000,{},\n"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The folder of a study that has measured part d, in a repository that has no result yet."""
    root, folder = tmp_path / "repository", tmp_path / "study"
    for made in (root / "docs", folder / "corpus"):
        made.mkdir(parents=True)
    (root / "docs" / "evidence.md").write_text("# Evidence\n")
    (folder / "section.md").write_text("## owner/Model\n\n![picture](figure.svg)\n")
    (folder / "figure.svg").write_text("<svg/>")
    (folder / "results.jsonl").write_text("{}\n")
    for name in ("answers.jsonl", "baselines.jsonl", "reading.md"):
        (folder / "corpus" / name).write_text("")
    (folder / "corpus" / TABLE).write_text(ROWS.format(""))
    monkeypatch.setattr(command, "ROOT", root)
    return folder, root


def test_publishing_brings_section_picture_and_corpus_to_their_places(study):
    folder, root = study
    command.publish(folder, "owner/Model")
    page = (root / "docs" / "evidence.md").read_text()
    assert page.startswith("# Evidence\n")
    assert "](evidence-owner-model.svg)" in page
    assert (root / "docs" / "evidence-owner-model.svg").read_text() == "<svg/>"
    kept = {file.name for file in (root / "tests" / "corpus" / "owner-model").iterdir()}
    assert kept == {"answers.jsonl", "baselines.jsonl", "reading.md", TABLE, "results.jsonl"}


def test_publishing_again_leaves_what_a_reader_has_judged(study):
    folder, root = study
    command.publish(folder, "owner/Model")
    table = root / "tests" / "corpus" / "owner-model" / TABLE
    table.write_text(ROWS.format("wrong"))
    command.publish(folder, "owner/Model")
    assert table.read_text() == ROWS.format("wrong")


def test_a_plan_file_changes_the_usual_plan(tmp_path):
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"delta_proposals": 3}))
    assert command._plan(file) == Plan().changed({"delta_proposals": 3})
    assert command._plan(None) == Plan()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [(["--parts", "a,x"], "--parts takes some of"), (["--plan", "missing.json"], "missing.json")],
)
def test_bad_usage_is_told_before_anything_is_begun(tmp_path, words, told):
    ended = subprocess.run(
        [sys.executable, "-m", "llm", "--model", "m", "--folder", str(tmp_path / "study"), *words],
        env={**os.environ, "PYTHONPATH": str(BENCH)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ended.returncode == 2
    assert told in ended.stderr
    assert not (tmp_path / "study").exists()


def test_summaries_of_another_plan_are_not_shown_as_those_of_this_one(tmp_path):
    file = tmp_path / "summaries.json"
    assert read_summaries(file, "this") == {}
    file.write_text(json.dumps({"stamp": "this", "parts": {"a": {"arms": {}}}}))
    assert read_summaries(file, "this") == {"a": {"arms": {}}}
    assert read_summaries(file, "other") == {}
