import errno
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
from small_datasets import numbered_dataset

from contracts.names import STANDARD_DATASETS
from sandbox_runner.datasets import library as library_module
from sandbox_runner.datasets.errors import (
    DatasetInvalid,
    DatasetNotReady,
    DatasetUnavailable,
    DatasetUnknown,
)
from sandbox_runner.datasets.library import Library
from sandbox_runner.datasets.standard import CATALOGUE, Source


@pytest.fixture
def sources(monkeypatch):
    """Puts other sources in place of mnist's."""

    def put(*loads):
        labelled = tuple(Source(f"source {number}", load) for number, load in enumerate(loads))
        monkeypatch.setitem(CATALOGUE, "mnist", replace(CATALOGUE["mnist"], sources=labelled))

    return put


def fails(error):
    def load(_: Path):
        raise error

    return load


def test_every_standard_name_has_sources_and_is_reported_with_the_command_that_prepares_it(tmp_path):
    assert tuple(CATALOGUE) == STANDARD_DATASETS
    reports = Library(tmp_path).reports()
    assert tuple(report.name for report in reports) == STANDARD_DATASETS
    for report in reports:
        assert not report.ready
        assert f"deltanas datasets prepare {report.name}" in report.problem
        assert CATALOGUE[report.name].sources
        assert CATALOGUE[report.name].files
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["nothing", "../../etc", "", "mnist/../mnist", "x" * 10_000])
def test_unknown_names_are_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(DatasetUnknown, match="Known: mnist, fashion-mnist") as caught:
        Library(tmp_path).open(name)
    assert len(str(caught.value)) < 400
    with pytest.raises(DatasetUnknown):
        Library(tmp_path).prepare(name)


def test_the_second_source_serves_when_the_first_cannot(tmp_path, sources):
    sources(fails(DatasetUnavailable("gone.", "x")), lambda _: numbered_dataset())
    report = Library(tmp_path).prepare("mnist")
    assert (report.ready, report.train_images, report.source) == (True, 200, "made up")
    assert Library(tmp_path).report("mnist") == report


def test_when_no_source_serves_each_one_and_the_remedy_are_named(tmp_path, sources):
    sources(
        fails(DatasetUnavailable("no answer.", "")),
        fails(DatasetInvalid("wrong sum.")),
        fails(FileNotFoundError(errno.ENOENT, "No such file", "/x")),
    )
    with pytest.raises(DatasetUnavailable) as caught:
        Library(tmp_path).prepare("mnist")
    for part in (
        "source 0: no answer.",
        "source 1: wrong sum.",
        "source 2: No such file (/x)",
        "t10k-images",
    ):
        assert part in str(caught.value)
    assert str(tmp_path / "datasets" / ".downloads" / "mnist") in caught.value.remedy
    with pytest.raises(DatasetNotReady):
        Library(tmp_path).open("mnist")


def test_a_ready_pack_is_left_alone_and_a_damaged_one_is_made_again(tmp_path, sources):
    sources(lambda _: numbered_dataset())
    library = Library(tmp_path)
    library.prepare("mnist")
    labels = library.folder / "mnist" / "train_labels.bin"
    before = labels.stat().st_ino
    library.prepare("mnist")
    assert labels.stat().st_ino == before
    labels.write_bytes(b"damaged")
    assert "train_labels.bin has 7 bytes" in library.report("mnist").problem
    assert library.prepare("mnist").ready
    assert labels.stat().st_ino != before


def test_what_a_killed_process_left_is_removed(tmp_path, sources):
    sources(lambda _: numbered_dataset())
    library = Library(tmp_path)
    for name in (".mnist.abc.part", ".mnist.12.old", ".mnist-2.abc.part"):
        (library.folder / name).mkdir(parents=True)
    library.prepare("mnist")
    assert {path.name for path in library.folder.iterdir()} == {"mnist", ".locks", ".mnist-2.abc.part"}


def test_an_unwritable_home_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetUnavailable, match="cannot be written"):
        Library(tmp_path / "file").prepare("mnist")


def _prepare(home, loads, barrier):
    def load(_):
        with loads.get_lock():
            loads.value += 1
        return numbered_dataset()

    entry = replace(CATALOGUE["mnist"], sources=(Source("counted", load),))
    library_module.CATALOGUE["mnist"] = entry
    barrier.wait()
    assert Library(home).prepare("mnist").ready


def test_two_processes_prepare_a_dataset_once(tmp_path):
    context = multiprocessing.get_context("fork")
    loads, barrier = context.Value("i", 0), context.Barrier(2)
    workers = [context.Process(target=_prepare, args=(tmp_path, loads, barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert loads.value == 1
