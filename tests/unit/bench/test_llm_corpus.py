import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from llm.applier import applier_summary
from llm.corpus import CorpusDamaged, RawAnswer, answer_id, read_corpus, sha256, write_corpus
from llm.reading import (
    COLUMNS,
    PAGE,
    TABLE,
    JudgementUnknown,
    drawn,
    page_of,
    read_judgements,
    write_reading,
)

from contracts.proposals import AnswerForm
from generator_svc.answers import AnswerRules, apply_answer

KEPT = Path(__file__).parents[2] / "corpus"
BASELINE = "import torch\n\n\nclass Net(torch.nn.Module):\n    pass\n"


def raw(answer="an answer", status="applied", reason="", tuned=False, role="proposal"):
    return RawAnswer(
        id=answer_id(BASELINE, "delta", answer),
        model="owner/model",
        tuned=tuned,
        role=role,
        prompt_version="delta_v2",
        form="delta",
        seed=1,
        finish_reason="stop",
        baseline="plain-cnn",
        baseline_sha256=sha256(BASELINE),
        answer=answer,
        status=status,
        reason=reason,
        message="",
        confidence=1.0 if status == "applied" else 0.0,
        result_sha256=None,
        canonical_delta="@@ -1 +1 @@\n-import torch\n+import torch  # more\n",
    )


def corpus_of(folder, *answers):
    write_corpus(folder, answers, {sha256(BASELINE): BASELINE})
    return folder


# --- the corpus --------------------------------------------------------------------------------


def test_a_corpus_is_read_as_it_was_written_and_equal_answers_are_one(tmp_path):
    odd = "a \x00 b \u2028 `\ud800`"
    folder = corpus_of(tmp_path, raw("one"), raw(odd), raw("one", tuned=True))
    found = read_corpus(folder)
    assert [one.answer for one in found.answers] == ["one", odd]
    assert found.answers[0].tuned is False
    assert found.baselines == {sha256(BASELINE): BASELINE}
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    write_corpus(folder, found.answers, found.baselines)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("answers.jsonl", "an answer", "another answer"),
        ("answers.jsonl", '"role"', '"rule"'),
        ("baselines.jsonl", "import torch", "import numpy"),
        ("answers.jsonl", "{", "["),
    ],
)
def test_a_corpus_that_was_changed_is_refused_by_file_and_line(tmp_path, file, old, new):
    folder = corpus_of(tmp_path, raw())
    text = (folder / file).read_text()
    (folder / file).write_text(text.replace(old, new))
    assert text != (folder / file).read_text()
    with pytest.raises(CorpusDamaged, match=f"{file}, line 1"):
        read_corpus(folder)


def test_answers_are_counted_as_applied_or_by_the_reason_of_their_refusal():
    found = applier_summary(
        [raw("1"), raw("2", "refused", "truncated"), raw("3", "refused", "truncated", tuned=True), raw("1")]
    )
    assert (found["answers"], found["different"]) == (4, 3)
    assert found["all"]["applied"]["count"] == 2
    assert found["all"]["refused"] == {"truncated": 2}
    assert found["before"]["applied"]["of"] == 3
    assert found["after"]["applied"]["share"] == 0.0


@pytest.mark.slow
def test_the_applier_says_of_kept_answers_what_it_said_when_they_were_kept():
    folders = [file.parent for file in KEPT.glob("*/answers.jsonl")]
    assert folders
    changed = []
    for folder in folders:
        corpus = read_corpus(folder)
        assert len(corpus.answers) >= 200
        for one in corpus.answers:
            rules = AnswerRules(AnswerForm(one.form))
            applied = apply_answer(corpus.baselines[one.baseline_sha256], one.answer, rules)
            result = None if applied.source is None else sha256(applied.source)
            if one.answer.strip() and (applied.status, result) != (one.status, one.result_sha256):
                changed.append((folder.name, one.id, one.status, applied.status, applied.reason))
    assert changed == []


# --- what is read by hand ----------------------------------------------------------------------


def test_what_is_read_is_a_seeded_draw_of_applied_answers_in_whatever_order_they_come():
    answers = [raw(str(number), "applied" if number % 2 else "refused") for number in range(40)]
    sample = drawn(answers, 10, seed=3)
    assert len(sample) == len({one.id for one in sample}) == 10
    assert {one.status for one in sample} == {"applied"}
    assert sample == drawn(answers[::-1], 10, seed=3)
    assert sample != drawn(answers, 10, seed=4)
    assert len(drawn(answers, 50, seed=3)) == 20


def judged(table, words):
    with table.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    with table.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS)
        writer.writeheader()
        for row, word in zip(rows, words, strict=True):
            writer.writerow({**row, "judgement": word})


def test_the_rate_of_misapplication_is_read_off_the_table_with_its_interval(tmp_path):
    sample = [raw(str(number)) for number in range(10)]
    assert write_reading(tmp_path, sample, {sha256(BASELINE): BASELINE})
    table = tmp_path / TABLE
    assert read_judgements(table).is_untouched
    assert read_judgements(table).document["misapplied"]["share"] is None
    judged(table, [*["right"] * 6, " Wrong", "unclear", "", ""])
    found = read_judgements(table).document
    assert (found["misapplied"]["count"], found["misapplied"]["of"]) == (1, 7)
    low, high = found["misapplied"]["interval"]
    assert low < 1 / 7 < high
    assert (found["misapplied_at_worst"]["count"], found["misapplied_at_worst"]["of"]) == (2, 8)
    assert found["unread"] == 2


def test_a_table_with_judgements_is_never_written_over(tmp_path):
    sources = {sha256(BASELINE): BASELINE}
    write_reading(tmp_path, [raw("1"), raw("2")], sources)
    judged(tmp_path / TABLE, ["right", ""])
    page = (tmp_path / PAGE).read_text()
    assert write_reading(tmp_path, [raw("3")], sources) is False
    assert read_judgements(tmp_path / TABLE).right == 1
    assert (tmp_path / PAGE).read_text() == page


def test_a_word_that_is_no_judgement_is_refused_by_its_line(tmp_path):
    write_reading(tmp_path, [raw("1"), raw("2")], {sha256(BASELINE): BASELINE})
    judged(tmp_path / TABLE, ["right", "rigth"])
    with pytest.raises(JudgementUnknown, match=r"line 3: 'rigth'"):
        read_judgements(tmp_path / TABLE)


def test_no_answer_gets_out_of_its_fence_on_the_page():
    hostile = raw("````\n# Judge me `right`\n\x1b[2J")
    page = page_of([hostile], {sha256(BASELINE): BASELINE})
    fence = "`" * 5
    inside = page.split(f"{fence}\n")[1]
    assert "# Judge me" in inside
    assert "\x1b" not in page
    assert page.count(fence) == 2


def test_what_is_kept_names_no_path(tmp_path):
    folder = corpus_of(tmp_path, replace(raw(), model="owner/model"))
    assert str(tmp_path) not in (folder / "answers.jsonl").read_text()
    assert json.loads((folder / "answers.jsonl").read_text())["model"] == "owner/model"
