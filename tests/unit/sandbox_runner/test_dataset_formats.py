"""The standard datasets' file formats, with small generated content."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from sandbox_runner.datasets import cifar, downloads, idx_sources, photo_sources, svhn
from sandbox_runner.datasets.downloads import RemoteFile, fetch
from sandbox_runner.datasets.errors import DatasetInvalid, DatasetUnavailable
from sandbox_runner.datasets.idx import read_idx

RANDOM = np.random.default_rng(0)


def idx_bytes(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def tar_of(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def jpeg(colour, size=(200, 160)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_folder_gives_images_with_their_labels(tmp_path, suffix):
    arrays = {}
    for name in idx_sources.IDX_NAMES:
        count = 20 if name.startswith("train") else 6
        shape = (count, 5, 4) if "images" in name else (count,)
        arrays[name] = RANDOM.integers(0, 10, shape, dtype=np.uint8)
        content = idx_bytes(arrays[name])
        (tmp_path / f"{name}{suffix}").write_bytes(gzip.compress(content) if suffix else content)
    raw = idx_sources.read_idx_folder(tmp_path, suffix, idx_sources.DIGITS, "here", "")
    assert raw.shape == (1, 5, 4)
    assert np.array_equal(raw.train.fetch(np.array([3, 1]))[:, 0], arrays["train-images-idx3-ubyte"][[3, 1]])
    assert raw.evaluation.labels.tolist() == arrays["t10k-labels-idx1-ubyte"].tolist()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x0d\x01\0\0\0\x01abcd",  # floats
        b"\x01\0\x08\x01\0\0\0\x01a",
        b"\0\0\x08\x01\0\0\0\x05abcd",
        b"\0\0\x08\x01\0\0\0\x03abcd",
        b"\0\0\x08\x03" + b"\xff" * 12,  # claims 2^96 items
    ],
)
def test_damaged_idx_is_refused(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DatasetInvalid, match="file"):
        read_idx(path)


def test_a_gzip_that_unpacks_to_more_than_it_claims_is_refused(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros(4, np.uint8)) + bytes(10**7)))
    with pytest.raises(DatasetInvalid, match="holds more"):
        read_idx(path)
    path.write_bytes(gzip.compress(bytes(100))[:-20])
    with pytest.raises(DatasetInvalid, match="damaged"):
        read_idx(path)


def cifar_records(labels, label_bytes):
    pixels = RANDOM.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    columns = [np.full(len(labels), 7), labels] if label_bytes == 2 else [labels]
    return np.column_stack([*columns, pixels]).astype(np.uint8).tobytes(), pixels.reshape(-1, 3, 32, 32)


def test_cifar_10_binary_archive(tmp_path):
    files, images = {"cifar-10-batches-bin/batches.meta.txt": b"cat\ndog\n\n"}, []
    for number in range(1, 6):
        content, pixels = cifar_records(np.array([0, 1, 1]), 1)
        files[f"cifar-10-batches-bin/data_batch_{number}.bin"] = content
        images.append(pixels)
    files["cifar-10-batches-bin/test_batch.bin"] = cifar_records(np.array([1, 0]), 1)[0]
    raw = cifar.read_cifar_10(tar_of(tmp_path / "c.tar.gz", files))
    assert raw.class_names == ("cat", "dog")
    assert raw.train.labels.tolist() == [0, 1, 1] * 5
    assert np.array_equal(raw.train.fetch(np.arange(15)), np.concatenate(images))
    assert raw.evaluation.labels.tolist() == [1, 0]


def test_cifar_100_binary_archive_uses_fine_labels(tmp_path):
    train, pixels = cifar_records(np.array([2, 0, 1]), 2)
    test, _ = cifar_records(np.array([1]), 2)
    files = {"train.bin": train, "test.bin": test, "fine_label_names.txt": b"apple\nbee\ncloud\n"}
    archive = tar_of(tmp_path / "c.tar.gz", {f"cifar-100-binary/{name}": files[name] for name in files})
    raw = cifar.read_cifar_100(archive)
    assert raw.train.labels.tolist() == [2, 0, 1]
    assert np.array_equal(raw.train.fetch(np.arange(3)), pixels)


def test_cifar_archives_that_lack_a_file_or_end_within_a_record_are_refused(tmp_path):
    with pytest.raises(DatasetInvalid, match=r"lacks cifar-100-binary/train\.bin"):
        cifar.read_cifar_100(tar_of(tmp_path / "a.tar.gz", {"other": b""}))
    names = ("train.bin", "test.bin", "fine_label_names.txt")
    archive = tar_of(tmp_path / "b.tar.gz", {f"cifar-100-binary/{name}": b"a b" for name in names})
    with pytest.raises(DatasetInvalid, match="3074-byte records"):
        cifar.read_cifar_100(archive)
    (tmp_path / "c.tar.gz").write_bytes(b"no archive")
    with pytest.raises(DatasetInvalid, match="damaged"):
        cifar.read_cifar_10(tmp_path / "c.tar.gz")


def mat_element(kind, content):
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def mat_array(name, array):
    small_name = struct.pack("<HH", 1, len(name)) + name.encode().ljust(4, b"\0")
    dimensions = mat_element(5, struct.pack(f"<{array.ndim}i", *array.shape))
    parts = mat_element(6, bytes(8)) + dimensions + small_name + mat_element(2, array.tobytes(order="F"))
    return mat_element(14, parts)


@pytest.mark.parametrize("compressed", [True, False])
def test_svhn_mat_file(tmp_path, compressed):
    images = RANDOM.integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    labels = np.array([[10], [1], [9], [10]], dtype=np.uint8)
    content = bytes(128)
    for element in (mat_array("X", images), mat_array("y", labels)):
        packed = zlib.compress(element)
        content += struct.pack("<II", 15, len(packed)) + packed if compressed else element
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(content)
    part = svhn.read_svhn(path)
    assert part.labels.tolist() == [0, 1, 9, 0]
    assert np.array_equal(part.fetch(np.array([2]))[0], images[:, :, :, 2].transpose(2, 0, 1))


@pytest.mark.parametrize(
    "content", [b"", bytes(128) + b"\x0f\0\0\0\x04\0\0\0bad!", bytes(128) + b"\xff" * 64]
)
def test_damaged_mat_file_is_refused(tmp_path, content):
    path = tmp_path / "x.mat"
    path.write_bytes(content)
    with pytest.raises(DatasetInvalid, match=r"x\.mat"):
        svhn.read_svhn(path)


def test_imagenette_archive(tmp_path):
    wordnet = list(photo_sources.IMAGENETTE_CLASSES)
    files = {f"imagenette2-160/train/{w}/{w}_1.JPEG": jpeg((20 * n, 0, 0)) for n, w in enumerate(wordnet)}
    files[f"imagenette2-160/val/{wordnet[3]}/v.JPEG"] = jpeg((0, 200, 0), size=(160, 300))
    files["imagenette2-160/noisy_imagenette.csv"] = b"not a picture"
    raw = photo_sources.read_imagenette(tar_of(tmp_path / "i.tgz", files))
    assert raw.train.labels.tolist() == list(range(10))
    assert raw.evaluation.labels.tolist() == [3]
    images = raw.train.fetch(np.array([0, 9]))
    assert images.shape == (2, 3, 160, 160)
    assert images[:, 0].mean(axis=(1, 2)) == pytest.approx([0, 180], abs=3)
    assert raw.evaluation.fetch(np.array([0]))[0, 1].mean() == pytest.approx(200, abs=3)


def test_celeba_files(tmp_path):
    names = [f"{number:06}.jpg" for number in range(1, 7)]
    with zipfile.ZipFile(tmp_path / "img_align_celeba.zip", "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(f"img_align_celeba/{name}", jpeg((40 * number, 0, 0), size=(178, 218)))
    rows = "".join(f"{name}  -1 {'1' if n % 2 else '-1'}  1\n" for n, name in enumerate(names))
    (tmp_path / "list_attr_celeba.txt").write_text(f"6\nBald Male Young\n{rows}")
    partition = "".join(f"{name} {part}\n" for name, part in zip(names, "000122", strict=True))
    (tmp_path / "list_eval_partition.txt").write_text(partition)
    raw = photo_sources.read_celeba_gender(tmp_path)
    assert raw.class_names == ("female", "male")
    assert raw.train.labels.tolist() == [0, 1, 0]
    assert raw.evaluation.labels.tolist() == [0, 1]
    assert raw.train.fetch(np.array([2])).shape == (1, 3, 64, 64)
    assert raw.evaluation.fetch(np.array([1]))[0, 0].mean() == pytest.approx(200, abs=3)
    (tmp_path / "list_attr_celeba.txt").write_text("1\nBald Young\n")
    with pytest.raises(DatasetInvalid, match="CelebA's attributes"):
        photo_sources.read_celeba_gender(tmp_path)


def remote(content_md5, url):
    return RemoteFile("data.bin", content_md5, (url,))


def test_download_checks_the_sum_and_leaves_no_half_file(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"hello")
    folder = tmp_path / "into"
    good = remote("5d41402abc4b2a76b9719d911017c592", source.as_uri())
    assert fetch(good, folder).read_bytes() == b"hello"
    (folder / "data.bin").write_bytes(b"tampered")
    with pytest.raises(DatasetInvalid, match="has not the MD5"):
        fetch(good, folder)
    (folder / "data.bin").unlink()
    with pytest.raises(DatasetUnavailable, match=r"instead of 0{32}.*put it into"):
        fetch(remote("0" * 32, source.as_uri()), folder)
    assert list(folder.iterdir()) == []


def test_a_download_begins_by_removing_what_a_killed_one_left(tmp_path):
    (tmp_path / ".f-half").write_bytes(b"x")
    (tmp_path / ".f2-other").write_bytes(b"x")
    with pytest.raises(DatasetUnavailable):
        fetch(RemoteFile("f", "0" * 32, ()), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".f2-other"]


def test_download_is_bounded(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.write_bytes(bytes(100))
    monkeypatch.setattr(downloads, "MAX_DOWNLOAD_BYTES", 99)
    with pytest.raises(DatasetUnavailable, match="more than 99 bytes"):
        fetch(remote("0" * 32, source.as_uri()), tmp_path / "into")
