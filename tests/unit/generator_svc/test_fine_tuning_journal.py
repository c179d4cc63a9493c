"""What is on disk is whole or not there, and tells how far a job has come."""

import errno
import json
import os
import resource

import pytest

from contracts.fine_tuning import ChatCounts
from generator_svc.fine_tuning.durable_files import disk_failure, remove_folder, write_file, write_folder
from generator_svc.fine_tuning.journal import MARK_EVERY, JournalReader, JournalWriter
from generator_svc.fine_tuning.progress import Progress


def test_a_line_that_was_cut_off_never_happened(tmp_path):
    path = tmp_path / "journal.jsonl"
    JournalWriter(path).write("started", {"trainer": 1})
    with path.open("ab") as file:
        file.write(b'{"at":"2026","kind":"st')
    assert [event.kind for event in JournalReader(path).new_events()] == ["started"]
    JournalWriter(path).write("resumed", {"step": 0})
    assert [(event.sequence, event.kind) for event in JournalReader(path).new_events()] == [
        (1, "started"),
        (2, "resumed"),
    ]


def test_a_line_that_the_disk_cuts_off_is_an_error_and_spoils_none_after_it(tmp_path):
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
        with pytest.raises(OSError):
            writer.write("step", {"step": 1})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.stat().st_size == 20
    JournalWriter(path).write("failed", {})
    assert [event.kind for event in JournalReader(path).new_events()] == ["failed"]


def test_a_reader_tells_each_event_once_and_may_begin_later(tmp_path):
    path = tmp_path / "journal.jsonl"
    reader = JournalReader(path)
    assert list(reader.new_events()) == []
    writer = JournalWriter(path)
    for step in range(3):
        writer.write("step", {"step": step})
    assert [event.data["step"] for event in reader.new_events()] == [0, 1, 2]
    writer.write("step", {"step": 3})
    assert [event.sequence for event in reader.new_events()] == [4]
    assert [event.sequence for event in JournalReader(path, after=2).new_events()] == [3, 4]


@pytest.mark.parametrize("after", [0, MARK_EVERY - 1, MARK_EVERY, 2 * MARK_EVERY + 1, 3 * MARK_EVERY, 9_999])
def test_a_reader_that_begins_where_another_has_been_tells_the_same(tmp_path, after):
    path = tmp_path / "journal.jsonl"
    writer = JournalWriter(path)
    known = JournalReader(path)
    for step in range(3 * MARK_EVERY):
        writer.write("step", {"step": step})
    assert len(list(known.new_events())) == 3 * MARK_EVERY
    writer.write("step", {"step": -1})
    writer.write("step", {"step": -2})
    reader = known.after(after)
    for one in (reader, reader.after(after)):
        assert list(one.new_events()) == list(JournalReader(path, after).new_events())
        assert list(one.new_events()) == []


def test_a_file_keeps_its_content_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "standing.json"
    write_file(path, b"old")
    with pytest.raises(TypeError):
        write_file(path, "no bytes")
    assert path.read_bytes() == b"old"
    write_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_half_a_file_does_not_keep_a_full_disk_full(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        write_file(tmp_path / "standing.json", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_with_all_its_files_or_not_at_all(tmp_path):
    def fill(draft):
        (draft / "weights").write_bytes(b"1")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError):
        write_folder(tmp_path / "adapter", fill)
    assert list(tmp_path.iterdir()) == []
    for content in (b"1", b"2"):
        write_folder(tmp_path / "adapter", lambda draft, content=content: (draft / "w").write_bytes(content))
        assert (tmp_path / "adapter" / "w").read_bytes() == content
    remove_folder(tmp_path / "adapter")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_and_a_closed_home_have_names():
    assert disk_failure(OSError(errno.ENOSPC, "No space left on device")).reason == "disk_full"
    failure = disk_failure(PermissionError(errno.EACCES, "Permission denied"))
    assert (failure.reason, failure.retryable) == ("home_unwritable", True)
    assert "Permission denied" in failure.message


def progress_of(*events):
    """Of (kind, data), through a real journal."""
    progress = Progress()
    for sequence, (kind, data) in enumerate(events, 1):
        line = json.loads(json.dumps({"kind": kind, "data": data}))
        progress.take(EventOf(sequence, line["kind"], line["data"]))
    return progress


class EventOf:
    def __init__(self, sequence, kind, data):
        self.sequence, self.at, self.kind, self.data = sequence, "", kind, data


MEASURED = (
    "measured",
    {"train": 8, "validation": 2, "left_out": {"too_long": 1}, "steps": 8, "evaluate_every": 4},
)


def step(number, seconds=2.0):
    data = {"step": number, "epoch": number / 8, "loss": 5.0 - number / 10, "tokens": 100, "seconds": seconds}
    return ("step", data)


def validated(number, loss):
    return ("validated", {"step": number, "loss": loss, "seconds": 6.0})


def test_progress_tells_losses_pace_and_what_remains():
    seen = progress_of(
        MEASURED, validated(0, 5.0), *(step(number) for number in range(1, 5)), validated(4, 4.5)
    )
    assert seen.chats == ChatCounts(8, 2, {"too_long": 1})
    assert (seen.step, seen.steps, seen.epoch, seen.train_loss) == (4, 8, 0.5, 4.6)
    assert (seen.validation_loss_before, seen.validation_loss) == (5.0, 4.5)
    assert (seen.best_step, seen.best_validation_loss) == (4, 4.5)
    assert seen.tokens_per_second == 50.0
    assert seen.eta_seconds == 4 * 2.0 + 6.0


def test_before_the_first_step_nothing_is_claimed():
    seen = progress_of(("started", {"trainer": 1}))
    assert seen.phase == "loading"
    assert (seen.eta_seconds, seen.tokens_per_second, seen.best_step, seen.validation_loss) == (None,) * 4


def test_a_resumption_takes_back_what_came_after_its_checkpoint():
    seen = progress_of(
        MEASURED,
        validated(0, 5.0),
        step(1),
        ("checkpoint", {"step": 1}),
        step(2),
        validated(4, 4.0),
        ("trainer_lost", {"message": "killed"}),
        ("started", {"trainer": 2}),
        ("resumed", {"step": 1}),
    )
    assert (seen.step, seen.checkpoint_step) == (1, 1)
    assert (seen.best_step, seen.validation_loss) == (0, 5.0)
