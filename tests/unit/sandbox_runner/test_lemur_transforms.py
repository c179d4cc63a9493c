import numpy as np
import pytest
import torch
import torchvision.transforms as v1
from PIL import Image

from sandbox_runner.guest.generated_transforms import GENERATED
from sandbox_runner.guest.transforms import SIDES, UnknownTransform, transform_named

pytestmark = pytest.mark.usefixtures("one_thread")
NORM = ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
FAMILY = [f"{finish}{side}{flip}" for finish in ("norm", "echo", "complex")
          for side in ("", *(f"_{side}" for side in SIDES[:3])) for flip in ("", "_flip")]  # fmt: skip
OTHERS = ["center_crop", "random_horizontal_flip", "random_vertical_flip", "soft_pad"]
GENERATED_NAMES = [*(f"bf-v1-{key}" for key in GENERATED), "bf-v1-Resize_ColorJit_Flip_Blur"]


def normalised(pixels):
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in NORM)
    if pixels.shape[1] == 1:
        mean, std = mean[:, :1], std[:, :1]
    return (pixels.to(torch.float32) / 255 - mean) / std


def pictures(count=2, channels=3, side=32):
    """Smooth ones: on noise every resampling method differs."""
    ramp = np.linspace(0, 200, side)
    image = np.stack(
        [ramp[:, None] * 0.7 + ramp[None, :] * 0.3 * (c + 1) / channels for c in range(channels)]
    )
    return torch.tensor(np.stack([image + 10 * n for n in range(count)]).astype(np.uint8))


def by_torchvision(steps, pixels):
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    return v1.Compose(steps)(image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("names", [FAMILY, OTHERS, GENERATED_NAMES], ids=["families", "others", "generated"])
def test_every_transform_of_lemur_works_for_grey_and_colour(names, channels):
    pixels = pictures(channels=channels)
    for name in names:
        transform = transform_named(name, channels, normalised)
        trained, predicted = transform.for_training(pixels), transform.for_prediction(pixels)
        assert trained.shape == predicted.shape, name
        assert trained.dtype == (torch.complex64 if name.startswith("complex") else torch.float32), name
        assert torch.equal(transform.for_prediction(pixels), predicted), name


def test_all_of_lemurs_generated_transforms_are_there():
    assert len(GENERATED) == 154


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("norm", [v1.ToTensor(), v1.Normalize(*NORM)]),
        ("norm_64", [v1.Resize(64), v1.CenterCrop(64), v1.ToTensor(), v1.Normalize(*NORM)]),
        ("echo_64", [v1.Resize((64, 64)), v1.ToTensor()]),
        ("center_crop", [v1.CenterCrop(48), v1.Resize((64, 64)), v1.ToTensor(), v1.Normalize(*NORM)]),
        ("bf-v1-CenterCrop_22", [v1.CenterCrop(32), v1.Resize((64, 64)), v1.ToTensor(), v1.Normalize(*NORM)]),
        (
            "bf-v1-CenterCrop_Pad",
            [
                v1.CenterCrop(32),
                v1.Pad(1, fill=(170, 12, 255)),
                v1.Resize((64, 64)),
                v1.ToTensor(),
                v1.Normalize(*NORM),
            ],
        ),
    ],
)
def test_predictions_see_what_torchvision_makes_of_the_same_picture(name, steps):
    pixels = pictures()
    mine = transform_named(name, 3, normalised).for_prediction(pixels)
    theirs = torch.stack([by_torchvision(steps, image) for image in pixels])
    assert mine.shape == theirs.shape
    # One grey level of rounding, seen through the smallest deviation.
    assert (mine - theirs).abs().max() <= 1.01 / 255 / min(NORM[1])


def test_random_steps_are_drawn_for_each_image_alone():
    torch.manual_seed(0)
    pixels = pictures(count=1).repeat(40, 1, 1, 1)
    flips = transform_named("echo_flip", 3, normalised).for_training(pixels)
    mirrored = (flips == flips[0]).flatten(1).all(1)
    assert 8 <= int(mirrored.sum()) <= 32
    rotated = transform_named(
        "bf-v1-CenterCrop_RandomRotation_RandomAdjustSharpnes", 3, normalised
    ).for_training(pixels[:8])
    assert len({image.numpy().tobytes() for image in rotated}) == 8


def test_soft_pad_adds_black_to_the_right_and_below():
    padded = transform_named("soft_pad", 3, normalised).for_prediction(pictures())
    assert padded.shape == (2, 3, 800, 800)
    assert padded[:, :, :32, :32].mean() > 0.1
    assert padded[:, :, 32:].abs().sum() == padded[:, :, :, 32:].abs().sum() == 0


UNKNOWN = [
    "",
    "norm_",
    "norm_65",
    "NORM",
    "norm_64_flip_flip",
    "five_crop",
    "bf-v1-",
    "CenterCrop_22",
    None,
    7,
    "x" * 9999,
]


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_names_are_refused_shortly(name):
    with pytest.raises(UnknownTransform, match="unknown transform") as caught:
        transform_named(name, 3, normalised)
    assert len(str(caught.value)) < 500
