"""The one template environment. Everything a page shows is escaped; text of candidates is hostile.

Autoescaping is on for every template, and each value passes `_visible` first, which takes out the
control and direction characters that HTML would let through.
"""

import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gateway.dashboard import wording

_HERE = Path(__file__).parent
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def render(template: str, **values: Any) -> str:
    """One page as text."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=wording.percent,
        points=wording.signed_points,
        accuracy=wording.accuracy,
        duration=wording.duration,
        mebibytes=wording.mebibytes,
        moment=wording.moment,
        short=wording.shortened,
    )
    return environment


def _visible(value: Any) -> Any:
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "".join(
        "�" if unicodedata.category(character) in _HIDDEN and character not in "\n\t" else character
        for character in value
    )
