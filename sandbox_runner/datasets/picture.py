"""Decodes pictures that nobody vouches for: few formats, bounded size, one shape for all."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sandbox_runner.datasets.errors import DatasetInvalid
from sandbox_runner.datasets.raw import Images

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
MAX_PICTURE_BYTES = 32 * 1024**2
MAX_PIXELS = 32 * 1024**2


@dataclass(frozen=True)
class PictureHeader:
    """What a picture says of itself before its pixels are decoded."""

    width: int
    height: int
    grey: bool


def read_header(name: str, content: bytes) -> PictureHeader:
    """Size and kind of a picture. Raises DatasetInvalid naming it."""
    picture = _open(name, content)
    return PictureHeader(picture.width, picture.height, picture.mode in {"1", "L", "I;16"})


def decode(name: str, content: bytes, shape: tuple[int, int, int]) -> Images:
    """The picture as uint8 of `shape` (C, H, W), C being 1 (grey) or 3 (RGB).

    It is scaled, its proportions kept, until it covers H × W, and its middle is cut out.
    Raises DatasetInvalid naming the picture.
    """
    channels, height, width = shape
    picture = _open(name, content)
    try:
        picture.draft(None, (2 * width, 2 * height))  # lets JPEG skip detail that scaling would drop
        plain = picture.convert("L" if channels == 1 else "RGB")
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise DatasetInvalid(f"{name} is a damaged picture: {error}.") from error
    if plain.size != (width, height):
        plain = _covering(plain, width, height)
    return np.asarray(plain, dtype=np.uint8).reshape(height, width, channels).transpose(2, 0, 1)


def _open(name: str, content: bytes) -> Image.Image:
    if len(content) > MAX_PICTURE_BYTES:
        raise DatasetInvalid(f"{name} is larger than {MAX_PICTURE_BYTES} bytes.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetInvalid(f"{name} is no picture in the format {', '.join(FORMATS)}.") from error
    if picture.width * picture.height > MAX_PIXELS:
        raise DatasetInvalid(f"{name} has {picture.width} × {picture.height} pixels; at most {MAX_PIXELS}.")
    return picture


def _covering(picture: Image.Image, width: int, height: int) -> Image.Image:
    scale = max(width / picture.width, height / picture.height)
    size = (max(width, round(picture.width * scale)), max(height, round(picture.height * scale)))
    # A picture of extreme proportions would grow without bound on its longer side: cut it first.
    if size[0] * size[1] > MAX_PIXELS:
        kept = (min(picture.width, int(width / scale) + 1), min(picture.height, int(height / scale) + 1))
        picture = _middle(picture, *kept)
        size = (width, height)
    return _middle(picture.resize(size, Image.Resampling.BILINEAR), width, height)


def _middle(picture: Image.Image, width: int, height: int) -> Image.Image:
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))
