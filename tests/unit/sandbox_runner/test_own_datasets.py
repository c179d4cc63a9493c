"""A user's own data: what is accepted, and every trick that is refused with nothing left behind."""

import functools
import io
import os
import stat
import tracemalloc
import zipfile

import numpy as np
import pytest
from PIL import Image

from sandbox_runner import uploads
from sandbox_runner.datasets import arrays_file, picture, zip_safety
from sandbox_runner.datasets.errors import DatasetInvalid, DatasetNotReady, DatasetUnavailable, DatasetUnknown
from sandbox_runner.datasets.library import Library
from sandbox_runner.uploads import Upload


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "home")


def png(value, size=(6, 5), mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, size, (value, value, value) if mode == "RGB" else value).save(buffer, "PNG")
    return buffer.getvalue()


def write_tree(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def classes_of_pictures(per_class=10, prefix="", **options):
    """Grey value 10 × class + number."""
    return {
        f"{prefix}{name}/{number}.png": png(100 * index + number, **options)
        for index, name in enumerate(("ant", "bee"))
        for number in range(per_class)
    }


def values_of(images):
    return sorted(int(image[0, 0, 0]) for image in images)


def assert_refused(library, path, message):
    with pytest.raises(DatasetInvalid, match=message):
        library.add("mine", path)
    with pytest.raises(DatasetUnknown):
        library.open("mine")
    assert [entry.name for entry in library.folder.iterdir()] == [".locks"]


@pytest.mark.parametrize("kind", ["folder", "zip", "zip with outer folder"])
def test_pictures_by_class_are_split_four_to_one(library, tmp_path, kind):
    if kind == "folder":
        path = write_tree(tmp_path / "data", classes_of_pictures() | {".DS_Store": b"x"})
    else:
        prefix = "outer/" if "outer" in kind else ""
        files = classes_of_pictures(prefix=prefix) | {"__MACOSX/ant/._0.png": b"x"}
        path = write_zip(tmp_path / "data.zip", files)
    report = library.add("mine", path)
    assert (report.ready, report.input_shape, report.classes) == (True, (3, 5, 6), 2)
    assert (report.train_images, report.evaluation_images) == (16, 4)
    pack = library.open("mine")
    assert pack.description.class_names == ("ant", "bee")
    everything = [*values_of(pack.train_images()), *values_of(pack.evaluation_images())]
    assert sorted(everything) == [*range(10), *range(100, 110)]
    assert [int(image[0, 0, 0]) // 100 for image in pack.train_images()] == pack.train_labels().tolist()
    assert report.name in [known.name for known in library.reports()]


def test_train_and_test_folders_are_kept_as_they_are(library, tmp_path):
    files = classes_of_pictures(4, "train/") | classes_of_pictures(2, "test/")
    report = library.add("mine", write_tree(tmp_path / "data", files))
    assert (report.train_images, report.evaluation_images) == (8, 4)


def test_pictures_of_different_sizes_become_squares_and_grey_ones_stay_grey(library, tmp_path):
    files = classes_of_pictures(mode="L") | {"ant/wide.png": png(9, size=(300, 20), mode="L")}
    report = library.add("mine", write_tree(tmp_path / "data", files))
    assert report.input_shape == (1, 64, 64)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"top.png": png(1)}, "top.png does not lie in a class folder"),
        ({"ant/notes.txt": b"hello"}, "ant/notes.txt is no picture"),
        ({"ant/fake.png": b"<svg/>"}, "ant/fake.png is no picture in the format"),
        ({"ant/cut.png": png(1)[:-30]}, "ant/cut.png is a damaged picture"),
        ({"only/1.png": png(1)}, r"Class 2 has [01] training images"),
    ],
)
def test_trees_with_anything_else_in_them_are_refused(library, tmp_path, files, message):
    assert_refused(library, write_tree(tmp_path / "data", classes_of_pictures() | files), message)


def test_an_empty_folder_and_a_missing_one_are_refused(library, tmp_path):
    (tmp_path / "data").mkdir()
    assert_refused(library, tmp_path / "data", "0 pictures were found")
    assert_refused(library, tmp_path / "missing", "missing cannot be read")


@pytest.mark.parametrize("make", ["file link", "folder link", "fifo"])
def test_links_and_special_files_in_a_folder_are_refused(library, tmp_path, make):
    folder = write_tree(tmp_path / "data", classes_of_pictures())
    if make == "fifo":
        os.mkfifo(folder / "ant" / "x.png")
    else:
        (folder / "ant" / "x.png").symlink_to("/etc/hostname" if make == "file link" else "/etc")
    assert_refused(library, folder, r"ant/x.png is (a link|neither)")


@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/evil.png", "ant/../../evil.png", "ant\\evil.png", "a\nb/1.png"]
)
def test_strange_paths_in_a_zip_are_refused(library, tmp_path, name):
    path = write_zip(tmp_path / "data.zip", classes_of_pictures() | {name: png(1)})
    assert_refused(library, path, "outside its own folder|forbidden name")


def test_links_encryption_and_doubles_in_a_zip_are_refused(library, tmp_path):
    link = zipfile.ZipInfo("ant/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = tmp_path / "data.zip"
    write_zip(path, classes_of_pictures())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert_refused(library, path, "link or a special file")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ant/1.png", png(1))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("ant/1.png", png(2))
    assert_refused(library, path, "occurs twice")


def test_zip_bombs_are_refused_before_they_unpack(library, tmp_path, monkeypatch):
    path = write_zip(tmp_path / "bomb.zip", classes_of_pictures() | {"ant/big.png": bytes(10**7)})
    monkeypatch.setattr(zip_safety, "MAX_UNPACKED_BYTES", 10**6)
    assert_refused(library, path, "unpacks to")
    monkeypatch.undo()
    monkeypatch.setattr(picture, "MAX_PICTURE_BYTES", 10**6)
    assert_refused(library, path, r"ant/big.png is (larger|no picture)")
    monkeypatch.setattr(zip_safety, "MAX_DIRECTORY_BYTES", 100)
    assert_refused(library, path, "a directory of")


def test_pictures_with_too_many_pixels_are_refused(library, tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "MAX_PIXELS", 10_000)
    files = classes_of_pictures() | {"ant/huge.png": png(1, size=(200, 100))}
    assert_refused(library, write_tree(tmp_path / "data", files), "200 × 100 pixels")


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"PK\x05\x06" + b"\xff" * 18, b"plain text" * 50])
def test_files_that_are_no_zip_are_refused(library, tmp_path, content):
    path = tmp_path / "data"
    path.write_bytes(content)
    assert_refused(library, path, r"no readable \.zip|a directory of")


def arrays(**changes):
    numbers = np.arange(40, dtype=np.uint8)
    images = np.broadcast_to(numbers[:, None, None], (40, 6, 5)).copy()
    return {"images": images, "labels": np.arange(40) % 2 * 5 + 1} | changes


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (lambda images: images, (1, 6, 5)),
        (lambda images: np.stack([images] * 3, axis=3), (3, 6, 5)),
        (lambda images: np.stack([images] * 3, axis=1), (3, 6, 5)),
        (lambda images: images[..., None], (1, 6, 5)),
    ],
)
def test_npz_of_images_and_labels(library, tmp_path, layout, shape):
    np.savez_compressed(tmp_path / "d.npz", images=layout(arrays()["images"]), labels=arrays()["labels"])
    report = library.add("mine", tmp_path / "d.npz")
    assert (report.input_shape, report.train_images, report.evaluation_images) == (shape, 32, 8)
    pack = library.open("mine")
    assert pack.description.class_names == ("1", "6")
    assert [
        value % 2 for value in (int(i[0, 0, 0]) for i in pack.train_images())
    ] == pack.train_labels().tolist()


def test_npz_of_a_split(library, tmp_path):
    whole = arrays()
    np.savez(
        tmp_path / "d.npz",
        x_train=whole["images"],
        y_train=whole["labels"],
        x_test=whole["images"][:10],
        y_test=whole["labels"][:10, None],
    )
    report = library.add("mine", tmp_path / "d.npz")
    assert (report.train_images, report.evaluation_images) == (40, 10)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (arrays(labels=np.arange(39) % 2), "40 images but 39 labels"),
        (arrays(images=np.zeros((40, 6, 5), np.float32)), "whole numbers"),
        (arrays(images=np.zeros((40, 6, 5), np.int64)), "convert them to uint8"),
        (arrays(images=np.zeros((40, 7), np.uint8)), "Images have shape"),
        (arrays(labels=np.zeros((40, 2), int)), "Labels must have shape"),
        (arrays(labels=np.zeros(40, int)), "1 classes"),
        (arrays(labels=np.array([{}] * 40, dtype=object)), "holds object"),
        ({"images": arrays()["images"]}, "must hold"),
        (arrays(extra=np.zeros(1, int)), "must hold"),
    ],
)
def test_npz_with_wrong_content_is_refused(library, tmp_path, content, message):
    np.savez(tmp_path / "d.npz", **content)
    assert_refused(library, tmp_path / "d.npz", message)


def test_npz_bombs_and_lying_headers_are_refused(library, tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "d.npz", **arrays(images=np.zeros((40, 300, 300), np.uint8)))
    monkeypatch.setattr(arrays_file, "MAX_ARRAYS_BYTES", 10**6)
    assert_refused(library, tmp_path / "d.npz", "unpacks to more")
    monkeypatch.undo()
    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 28, 28)}
    np.lib.format.write_array_header_1_0(header, shape)
    write_zip(tmp_path / "lie.npz", {"images.npy": header.getvalue() + bytes(10), "labels.npy": b""})
    assert_refused(library, tmp_path / "lie.npz", "claims")


def test_labels_too_many_to_count_are_refused_before_they_are_widened(library, tmp_path, monkeypatch):
    monkeypatch.setattr(arrays_file, "MAX_IMAGES", 1000)
    np.savez_compressed(tmp_path / "d.npz", **arrays(labels=np.zeros(1001, np.uint8)))
    assert_refused(library, tmp_path / "d.npz", "at most 1000 images")
    np.savez_compressed(tmp_path / "d.npz", **arrays(labels=np.array(1)))
    assert_refused(library, tmp_path / "d.npz", "has shape")


def test_a_small_npz_of_large_arrays_takes_no_memory(library, tmp_path):
    size = 80 * 1024**2
    images = np.zeros((80, 1024, 1024), np.uint8)
    np.savez_compressed(tmp_path / "d.npz", **arrays(images=images, labels=np.arange(80) % 2))
    del images
    assert (tmp_path / "d.npz").stat().st_size < size // 200
    tracemalloc.start()
    try:
        raw = arrays_file.read_arrays_file(tmp_path / "d.npz", "mine", tmp_path)
        assert tracemalloc.get_traced_memory()[1] < size // 8
    finally:
        tracemalloc.stop()
    assert len(raw.train.labels) + len(raw.evaluation.labels) == 80
    assert [path.name for path in tmp_path.iterdir()] == ["d.npz"]


def test_images_stored_by_columns_keep_their_pixels(tmp_path):
    images = arrays()["images"]
    np.savez(tmp_path / "d.npz", **arrays(images=np.asfortranarray(images)))
    raw = arrays_file.read_arrays_file(tmp_path / "d.npz", "mine", tmp_path)
    read = np.concatenate([part.fetch(np.arange(len(part.labels))) for part in (raw.train, raw.evaluation)])
    assert sorted(image.tobytes() for image in read) == sorted(image.tobytes() for image in images)


def test_an_upload_has_no_name_on_disk_that_a_killed_process_could_leave(library, tmp_path):
    np.savez(tmp_path / "d.npz", **arrays())
    with Upload(library, "mine") as upload:
        upload.write((tmp_path / "d.npz").read_bytes())
        assert list(library.folder.iterdir()) == []
        assert upload.finish().train_images == 32
    assert sorted(path.name for path in library.folder.iterdir()) == [".locks", "mine"]


@pytest.mark.parametrize("name", ["../mine", "mnist", "mine"])
def test_an_upload_under_an_impossible_name_is_refused_before_its_first_byte(library, tmp_path, name):
    np.savez(tmp_path / "d.npz", **arrays())
    library.add("mine", tmp_path / "d.npz")
    with pytest.raises(DatasetInvalid):
        Upload(library, name)


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_an_upload_onto_a_full_disk_says_so(library, monkeypatch, size):
    def send():
        with Upload(library, "mine") as upload:
            upload.write(bytes(size))
            upload.finish()

    full = functools.partial(open, "/dev/full", "wb")
    monkeypatch.setattr(uploads.tempfile, "TemporaryFile", lambda **_: full())
    with pytest.raises(DatasetUnavailable, match="No space left on device"):
        send()


def test_a_disk_that_fills_while_arrays_are_unpacked_is_not_the_fault_of_the_file(
    library, tmp_path, monkeypatch
):
    np.savez(tmp_path / "d.npz", **arrays())
    full = functools.partial(open, "/dev/full", "wb")
    monkeypatch.setattr(arrays_file.tempfile, "TemporaryFile", lambda **_: full())
    with pytest.raises(DatasetUnavailable, match="No space left on device"):
        library.add("mine", tmp_path / "d.npz")


@pytest.mark.parametrize("name", ["", "A", "-a", "a" * 64, "a/b", "..", ".hidden", "a.b", "mnist", "a\n"])
def test_names_that_break_the_rule_are_refused(tmp_path, name):
    library = Library(tmp_path)
    with pytest.raises(DatasetInvalid, match="no name for a dataset"):
        library.add(name, tmp_path)
    assert not library.folder.exists()


def test_a_name_is_given_once(library, tmp_path):
    folder = write_tree(tmp_path / "data", classes_of_pictures())
    library.add("mine", folder)
    with pytest.raises(DatasetInvalid, match="a dataset mine already"):
        library.add("mine", folder)
    with pytest.raises(DatasetNotReady):
        library.open("mnist")
