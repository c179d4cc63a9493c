import hashlib
import os
import stat
from dataclasses import replace

import numpy as np
import pytest
from small_datasets import numbered_dataset, numbered_pack, numbers_of

from sandbox_runner.datasets.errors import DatasetInvalid, DatasetUnavailable
from sandbox_runner.datasets.pack import open_pack, write_pack
from sandbox_runner.datasets.raw import ImageSet


def test_pack_gives_back_every_image_with_its_own_label(tmp_path):
    raw = numbered_dataset()
    pack = write_pack(tmp_path / "p", "p", raw)
    wanted = dict(zip(numbers_of(raw.train.fetch(np.arange(200))), raw.train.labels.tolist(), strict=True))
    found = dict(zip(numbers_of(pack.train_images()), pack.train_labels().tolist(), strict=True))
    assert found == wanted
    assert numbers_of(pack.evaluation_images()) == list(range(200, 255))
    assert pack.evaluation_labels().tolist() == raw.evaluation.labels.tolist()


def test_every_prefix_of_the_training_images_is_stratified(tmp_path):
    labels = numbered_pack(tmp_path).train_labels()
    for count in range(1, len(labels) + 1):
        per_class = np.bincount(labels[:count], minlength=5)
        assert abs(per_class - count / 5).max() <= 1.5


def test_mean_and_deviation_are_those_of_the_training_pixels(tmp_path):
    pack = numbered_pack(tmp_path)
    pixels = np.asarray(pack.train_images(), dtype=np.float64) / 255
    assert pack.description.mean == pytest.approx((pixels.mean(),))
    assert pack.description.std == pytest.approx((pixels.std(),))


def test_content_hash_covers_all_four_files_and_repeats(tmp_path):
    one, two = numbered_pack(tmp_path / "a"), numbered_pack(tmp_path / "b")
    digest = hashlib.sha256()
    for name in ("train_images", "train_labels", "evaluation_images", "evaluation_labels"):
        digest.update((one.folder / f"{name}.bin").read_bytes())
    assert one.description.content_hash == two.description.content_hash == digest.hexdigest()


def test_evaluation_files_are_for_the_owner_alone_and_the_folder_cannot_be_listed(tmp_path):
    pack = numbered_pack(tmp_path)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in pack.folder.iterdir()}
    assert modes["evaluation_images.bin"] == modes["evaluation_labels.bin"] == 0o600
    assert modes["train_images.bin"] == modes["train_labels.bin"] == 0o444
    assert stat.S_IMODE(pack.folder.stat().st_mode) == 0o700


def test_full_disk_is_reported_and_leaves_nothing(tmp_path):
    raw = numbered_dataset()

    def no_space(indices):
        raise OSError(28, "No space left on device")

    with pytest.raises(DatasetUnavailable, match=r"No space left on device.*Free some disk space"):
        write_pack(tmp_path / "p", "p", replace(raw, evaluation=ImageSet(raw.evaluation.labels, no_space)))
    assert list(tmp_path.iterdir()) == []


def test_a_second_writing_replaces_the_pack(tmp_path):
    write_pack(tmp_path / "p", "p", numbered_dataset())
    pack = write_pack(tmp_path / "p", "p", numbered_dataset(train_per_class=20))
    assert len(pack.train_labels()) == 100
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


@pytest.mark.parametrize("name", ["train_images.bin", "evaluation_labels.bin"])
def test_a_truncated_file_is_named(tmp_path, name):
    pack = numbered_pack(tmp_path)
    os.truncate(pack.folder / name, 10)
    with pytest.raises(DatasetInvalid, match=f"{name} has 10 bytes"):
        open_pack(pack.folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 99}'])
def test_a_damaged_description_is_named(tmp_path, content):
    pack = numbered_pack(tmp_path)
    (pack.folder / "pack.json").write_text(content)
    with pytest.raises(DatasetInvalid, match=r"pack\.json cannot be read"):
        open_pack(pack.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (4, 4, 4)}, "1 or 3 channels"),
        ({"shape": (1, 4, 5000)}, "sides of 1 to 1024"),
        ({"class_names": ("only",)}, "1 classes"),
        ({"class_names": ("a", "b", "c", "d", "e", "f")}, "Class 5 has 0 training images"),
        ({"class_names": ("a", "b")}, "labels must be 0 to 1"),
    ],
)
def test_data_that_make_no_pack_are_refused(tmp_path, change, message):
    with pytest.raises(DatasetInvalid, match=message):
        write_pack(tmp_path / "p", "p", replace(numbered_dataset(), **change))
    assert list(tmp_path.iterdir()) == []
