import errno
import os
import stat
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_datasets import numbered_pack, numbers_of

from contracts.names import Integrity, ScoredOn
from sandbox_runner.datasets import views
from sandbox_runner.datasets.errors import DatasetInvalid, DatasetUnavailable
from sandbox_runner.datasets.pack import map_images, read_labels
from sandbox_runner.datasets.splits import open_split, strict_indices
from sandbox_runner.datasets.stratify import first_half

labels_of_some_classes = st.lists(st.integers(2, 30), min_size=2, max_size=6).map(
    lambda sizes: np.repeat(np.arange(len(sizes)), sizes)
)


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return numbered_pack(tmp_path_factory.mktemp("home"))


def opened(pack, integrity=Integrity.STRICT, key="k", count=None, scored_on=ScoredOn.ALL):
    return open_split(pack, integrity, key, count, scored_on)


def train_of(split):
    images = map_images(split.train_images_path, split.train_count, split.shape)
    return numbers_of(images), read_labels(split.train_labels_path, split.train_count)


@settings(max_examples=40)
@given(labels_of_some_classes, st.text(min_size=1), st.randoms())
def test_halves_are_disjoint_stratified_and_equal_within_one_image_per_class(labels, key, random):
    labels = np.array(random.sample(labels.tolist(), len(labels)))
    mask = first_half(labels, key.encode(), "selection half")
    classes = labels.max() + 1
    first, second = (
        np.bincount(labels[mask], minlength=classes),
        np.bincount(labels[~mask], minlength=classes),
    )
    assert abs(first - second).max() <= 1
    assert abs(int(mask.sum()) - int((~mask).sum())) <= 1


@settings(max_examples=40)
@given(labels_of_some_classes, st.text(min_size=1))
def test_strict_split_keeps_the_size_of_every_class_and_shares_no_image(labels, key):
    sizes = np.bincount(labels) // 2 + 1
    train, evaluation = strict_indices(labels, sizes, key)
    assert sorted([*train.tolist(), *evaluation.tolist()]) == list(range(len(labels)))
    assert np.bincount(labels[train]).tolist() == sizes.tolist()


@settings(max_examples=20)
@given(st.text(min_size=1), st.text(min_size=1))
def test_same_key_same_split_and_other_key_other_split(one, two):
    labels = np.arange(400) % 4
    first, again, second = (
        strict_indices(labels, np.full(4, 80), key)[1].tolist() for key in (one, one, two)
    )
    assert first == again
    assert (first == second) == (one == two)


def test_standard_is_the_official_split(pack):
    split = opened(pack, Integrity.STANDARD)
    assert split.train_images_path == pack.train_images_path
    assert numbers_of(split.evaluation_images) == list(range(200, 255))
    assert split.selection is None


def test_strict_scores_images_that_it_does_not_train_on_and_uses_them_all(pack):
    split = opened(pack)
    numbers, labels = train_of(split)
    scored = numbers_of(split.evaluation_images)
    assert sorted(numbers + scored) == list(range(255))
    assert np.bincount(labels).tolist() == [40] * 5
    assert np.bincount(split.evaluation_labels).tolist() == [11] * 5
    assert set(scored) != set(range(200, 255))
    assert [number % 5 for number in scored] == split.evaluation_labels.tolist()
    assert [number % 5 for number in numbers] == labels.tolist()


@pytest.mark.parametrize("integrity", list(Integrity))
def test_a_cut_is_a_stratified_part_of_the_same_split_in_files_of_its_own(pack, integrity):
    whole, cut = opened(pack, integrity), opened(pack, integrity, count=50)
    numbers, labels = train_of(cut)
    assert numbers == train_of(whole)[0][:50]
    assert abs(np.bincount(labels) - 10).max() <= 1
    assert cut.train_images_path.stat().st_size == 50 * 16
    assert cut.train_labels_path.stat().st_size == 50 * 8
    assert numbers_of(cut.evaluation_images) == numbers_of(whole.evaluation_images)


def test_a_standard_cut_does_not_depend_on_the_key(pack):
    one, two = (opened(pack, Integrity.STANDARD, key, 30) for key in ("a", "b"))
    assert one.train_images_path == two.train_images_path


@pytest.mark.parametrize("integrity", list(Integrity))
def test_halves_are_fixed_by_the_key(pack, integrity):
    one, again, other = (
        opened(pack, integrity, key, scored_on=ScoredOn.SELECTION_HALF) for key in ("a", "a", "b")
    )
    assert np.array_equal(one.selection, again.selection)
    assert not np.array_equal(one.selection, other.selection)
    assert one.selection.dtype == np.bool_
    assert len(one.selection) == len(one.evaluation_labels)


@pytest.mark.parametrize("integrity", list(Integrity))
@pytest.mark.parametrize("count", [None, 25])
def test_only_training_files_are_ever_delivered(pack, integrity, count, tmp_path):
    split = opened(pack, integrity, count=count)
    split.deliver(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "train_images.bin": split.train_images_path.read_bytes(),
        "train_labels.bin": split.train_labels_path.read_bytes(),
    }
    assert "evaluation" not in str(split.guest_description("/data"))


def test_where_the_file_system_has_no_links_the_files_are_copied(pack, tmp_path, monkeypatch):
    split = opened(pack)

    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    split.deliver(tmp_path)
    copied = tmp_path / "train_images.bin"
    assert copied.read_bytes() == split.train_images_path.read_bytes()
    assert stat.S_IMODE(copied.stat().st_mode) == 0o444


def test_a_full_disk_is_named_with_its_remedy(pack, tmp_path):
    with pytest.raises(DatasetUnavailable, match="DELTANAS_HOME"):
        opened(pack).deliver(tmp_path / "gone")


def test_strict_evaluation_files_are_for_the_owner_alone_and_names_give_nothing_away(pack):
    split = opened(pack, key="a very secret key")
    folder = split.train_images_path.parent
    for name in ("evaluation_images.bin", "evaluation_labels.bin"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert "secret" not in str(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("count", [0, -1, 201])
def test_impossible_numbers_of_training_images_are_refused(pack, count):
    with pytest.raises(DatasetInvalid, match=f"train_images is {count}; numbered has 1 to 200"):
        opened(pack, count=count)


def test_least_recently_used_views_are_removed_but_none_in_use(tmp_path, monkeypatch):
    pack = numbered_pack(tmp_path)
    monkeypatch.setattr(views, "MAX_VIEWS", 3)
    for number in range(6):
        opened(pack, key=str(number))
    assert len(list((pack.folder / "views").iterdir())) == 6
    monkeypatch.setattr(views, "MIN_IDLE_SECONDS", 0.0)
    time.sleep(0.01)
    last = opened(pack, key="5")
    kept = set((pack.folder / "views").iterdir())
    assert len(kept) == 3
    assert last.train_images_path.parent in kept


def any_view(_folder):
    """Every view is taken for whole."""


@pytest.mark.parametrize("integrity", list(Integrity))
@pytest.mark.parametrize("harm", [os.remove, lambda path: os.truncate(path, 10)])
def test_a_damaged_view_is_written_again(pack, integrity, harm):
    whole = opened(pack, integrity, count=25)
    before = whole.train_images_path.read_bytes()
    harm(whole.train_images_path)
    assert opened(pack, integrity, count=25).train_images_path.read_bytes() == before
    assert [path.name[0] for path in (pack.folder / "views").iterdir()].count(".") == 0


def test_a_view_whose_removal_is_cut_short_is_gone_under_its_name(tmp_path, monkeypatch):
    pack = numbered_pack(tmp_path)
    doomed = opened(pack, key="old").train_images_path.parent
    monkeypatch.setattr(views, "MAX_VIEWS", 1)
    monkeypatch.setattr(views, "MIN_IDLE_SECONDS", 0.0)
    monkeypatch.setattr(views.shutil, "rmtree", lambda *_, **__: None)
    time.sleep(0.01)
    opened(pack, key="new")
    assert not doomed.exists()


def test_a_view_that_another_process_finished_first_is_used(tmp_path):
    pack = numbered_pack(tmp_path)

    def write(folder):
        if not (pack.folder / "views" / "name").exists():
            views.open_view(pack.folder, "name", lambda inner: (inner / "who").write_text("first"), any_view)
        (folder / "who").write_text("second")

    assert (views.open_view(pack.folder, "name", write, any_view) / "who").read_text() == "first"
    assert [path.name for path in (pack.folder / "views").iterdir()] == ["name"]
