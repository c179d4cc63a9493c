"""Real sources of LEMUR (nn-dataset), read as data from its wheel, run unchanged by the guest's contract."""

import json
import zipfile

import numpy as np
import pytest
import torch
from lemur_package import lemur_wheel

from sandbox_runner.guest import lemur
from sandbox_runner.guest.candidate_loader import load_candidate
from sandbox_runner.guest.transforms import transform_named

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("one_thread")]

IMAGES = 32
SOURCES = [
    ("ga-128", "cifar-10"),
    ("ast-dimension-AlexNet-2b386c5ff85a033fe28500a0191bbae4", "cifar-10"),
    ("ga-973", "cifar-10"),
    ("ga-466", "cifar-10"),
    ("FractalNet-f82d50366f5d565fb871e02fe155cdd1", "cifar-10"),
    ("FractalNet-b4e7bb981f211b89af87e0b29e3926d2", "cifar-10"),
    ("rl-init-15999420dcf55aae4db50fa4a4ce2da7", "cifar-10"),
    ("rag-6b83ee5f847a32b2bb11754492daa59e", "cifar-10"),
    ("alt-nn1-0b3135eff73e72cc51c0096796ecc68d", "cifar-10"),
    ("alt-nn1-0e40be6fbc3426f57a305bfd8b8148fa", "mnist"),
]
GIVEN = ("lr", "momentum", "dropout", "batch", "transform")


@pytest.fixture(scope="module")
def wheel():
    with zipfile.ZipFile(lemur_wheel()) as archive:
        yield archive


def description(folder, dataset):
    shape = (3, 32, 32) if dataset == "cifar-10" else (1, 28, 28)
    source = np.random.default_rng(0)
    source.integers(0, 256, (IMAGES, *shape), dtype=np.uint8).tofile(folder / "images.bin")
    source.integers(0, 10, IMAGES, dtype=np.int64).tofile(folder / "labels.bin")
    return {
        "train_images": str(folder / "images.bin"),
        "train_labels": str(folder / "labels.bin"),
        "count": IMAGES,
        "shape": list(shape),
        "classes": 10,
        "mean": [0.5] * shape[0],
        "std": [0.25] * shape[0],
    }


@pytest.mark.parametrize(("name", "dataset"), SOURCES)
def test_a_source_runs_unchanged_with_the_hyperparameters_of_its_recorded_result(
    wheel, tmp_path, name, dataset
):
    result = f"ab/nn/stat/train/img-classification_{dataset}_acc_{name}/1.json"
    rows = json.loads(wheel.read(result))
    recorded = rows[0] if isinstance(rows, list) else rows
    given = {key: value for key, value in recorded.items() if key in GIVEN}
    given["batch"] = min(given["batch"], 16)
    data = description(tmp_path, dataset)
    torch.manual_seed(0)
    module = load_candidate(wheel.read(f"ab/nn/nn/{name}.py").decode())
    session = lemur.build(module, {"data": data, "epochs": 1, "seed": 0, "hyperparameters": given})
    assert session.train()["parameters"] > 1000
    logits = session.predict(np.zeros((3, *data["shape"]), dtype=np.uint8))
    assert logits.shape == (3, 10)
    assert np.isfinite(logits).all()


def test_every_transform_file_but_one_has_its_counterpart(wheel):
    folder = "ab/nn/transform/"
    names = {
        name.removeprefix(folder).removesuffix(".py")
        for name in wheel.namelist()
        if name.startswith(folder) and name.endswith(".py")
    }
    names -= {"__init__", "five_crop"}  # five_crop fails in LEMUR too
    assert len(names) == 202 - 1
    for name in sorted(names):
        transform_named(name, 3, lambda pixels: pixels)
