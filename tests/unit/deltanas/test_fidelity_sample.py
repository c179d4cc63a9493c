"""Which networks a fidelity study takes, and how large it takes their images to be."""

from itertools import product

import pytest
import torch

from deltanas.fidelity.sample import (
    Criteria,
    Exclusion,
    RecordedNetwork,
    drawn,
    judged,
    transformed_pixels,
)
from sandbox_runner.guest.generated_transforms import GENERATED
from sandbox_runner.guest.transforms import SIDES, UnknownTransform, transform_named

pytestmark = pytest.mark.usefixtures("one_thread")

CRITERIA = Criteria("mnist", max_pixels=64)
FAMILY = [
    finish + side + flip
    for finish, side, flip in product(
        ("norm", "echo", "complex"), ("", *(f"_{side}" for side in SIDES)), ("", "_flip")
    )
]
SINGLE = ("center_crop", "random_horizontal_flip", "random_vertical_flip", "soft_pad")
ALL = (*FAMILY, *SINGLE, "bf-v1-Resize_ColorJit_Flip_Blur", *(f"bf-v1-{key}" for key in GENERATED))


def document(name: str = "lemur/a", parameters: int | None = None, **changes) -> dict:
    result = {
        "dataset": "mnist",
        "first_epoch_accuracy": 0.9,
        "hyperparameters": {"lr": 0.1, "transform": "norm_64"},
    }
    return {
        "name": name,
        "family": "ResNet",
        "source": "class Net: ...",
        "parameters": parameters,
        "results": [result | changes],
    }


def network(name: str) -> RecordedNetwork:
    return RecordedNetwork(name, "ResNet", "norm_64", 64, 16, 0.9, "0")


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 24)])
def test_inferred_sizes_are_what_the_guest_makes(shape):
    image = torch.zeros(1, *shape, dtype=torch.uint8)
    longest = max(shape[1:])
    checked = 0
    for name in ALL:
        made = transform_named(name, shape[0], lambda pixels: pixels.float()).for_prediction(image)
        assert transformed_pixels(name, longest) == max(made.shape[2:]), name
        checked += 1
    assert checked > 180


@pytest.mark.parametrize("name", ["", "norm_48", "norm_064", "five_crop", "NORM", "norm_64_flip_flip", "64"])
def test_a_name_that_the_guest_does_not_know_has_no_size(name):
    with pytest.raises(UnknownTransform):
        transform_named(name, 1, lambda pixels: pixels)
    assert transformed_pixels(name, 28) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset": "svhn"}, Exclusion.NO_FIRST_EPOCH),
        ({"first_epoch_accuracy": None}, Exclusion.NO_FIRST_EPOCH),
        ({"hyperparameters": {"lr": 0.1}}, Exclusion.NO_TRANSFORM),
        ({"hyperparameters": {"transform": "five_crop"}}, Exclusion.UNKNOWN_TRANSFORM),
        ({"hyperparameters": {"transform": 64}}, Exclusion.UNKNOWN_TRANSFORM),
        ({"hyperparameters": {"transform": "norm_128"}}, Exclusion.TOO_LARGE),
    ],
)
def test_a_network_is_left_out_by_a_named_reason(changes, reason):
    assert judged(document(**changes), CRITERIA, 28) is reason


def test_a_fitting_network_is_taken_with_what_was_recorded():
    found = judged(document(), CRITERIA, 28)
    assert (found.name, found.transform, found.pixels, found.recorded_accuracy) == (
        "lemur/a",
        "norm_64",
        64,
        0.9,
    )
    assert judged(document(hyperparameters={"transform": "echo"}), Criteria("mnist", 28), 28).pixels == 28


def test_small_batches_are_left_out_where_that_is_asked():
    small = {"transform": "norm_64", "batch": 8}
    wanted = Criteria("mnist", max_pixels=64, min_batch=16)
    assert judged(document(hyperparameters=small), wanted, 28) is Exclusion.SMALL_BATCH
    assert judged(document(hyperparameters={"transform": "norm"}), wanted, 28) is Exclusion.SMALL_BATCH
    assert judged(document(hyperparameters={**small, "batch": 16}), wanted, 28).batch == 16
    assert judged(document(hyperparameters=small), CRITERIA, 28).batch == 8
    assert judged(document(), CRITERIA, 28).batch is None


def test_large_networks_and_unmeasured_ones_are_left_out_where_that_is_asked():
    wanted = Criteria("mnist", max_pixels=64, max_parameters=1000)
    assert judged(document(parameters=1001), wanted, 28) is Exclusion.TOO_MANY_PARAMETERS
    assert judged(document(), wanted, 28) is Exclusion.UNKNOWN_PARAMETERS
    assert isinstance(judged(document(parameters=1000), wanted, 28), RecordedNetwork)
    assert isinstance(judged(document(parameters=10**9), CRITERIA, 28), RecordedNetwork)


def test_another_source_or_another_hyperparameter_is_another_version():
    same, other = document(), document(hyperparameters={"lr": 0.2, "transform": "norm_64"})
    changed = {**document(), "source": "class Net: pass"}
    versions = [judged(found, CRITERIA, 28).version for found in (same, document(), other, changed)]
    assert versions[0] == versions[1]
    assert len(set(versions)) == 3


def test_a_draw_is_the_same_for_a_seed_and_part_of_every_larger_one():
    networks = [network(f"lemur/{n}") for n in range(200)]
    small = drawn(networks, 20, seed=4)
    assert drawn(reversed(networks), 20, seed=4) == small
    assert drawn(networks, 30, seed=4)[:20] == small
    assert drawn(networks, 20, seed=5) != small
    assert len(drawn(networks[:3], 20, seed=4)) == 3


def test_every_network_is_drawn_about_as_often():
    networks = [network(f"lemur/{n}") for n in range(10)]
    seen = [found.name for seed in range(1000) for found in drawn(networks, 3, seed)]
    assert all(220 < seen.count(found.name) < 380 for found in networks)
