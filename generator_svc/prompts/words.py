"""The words of prompts, from their versioned files. A file never changes once a model was asked with it."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

Words = dict[str, Any]


@cache
def words_of(version: str) -> Words:
    """The words of `VERSION.yaml`, those of the file that it is `like` among them. Not to be changed."""
    own: Words = yaml.safe_load(files(__package__).joinpath(f"{version}.yaml").read_text(encoding="utf-8"))
    like = own.pop("like", None)
    return own if like is None else {**words_of(like), **own}
