"""What a page or the call of a tool does to a whole answer."""

import html
import json
import random

from .hunks import diff_text
from .kinds import Damaged, Kind
from .pairs import Pair


def html_escapes(pair: Pair, rng: random.Random) -> Damaged | None:
    """`<`, `>` and `&` as entities, quotes too or not; never where the sources have any `&` themselves."""
    if "&" in pair.baseline + pair.target:
        return None
    text = html.escape(diff_text(pair.hunks), quote=rng.random() < 0.5)
    return Damaged(text, frozenset({pair.target})) if "&" in text else None


def json_string(pair: Pair, rng: random.Random) -> Damaged:
    """The delta as a string in JSON, as in a call of a tool."""
    key = rng.choice(("delta", "diff", "patch"))
    answer = json.dumps({key: diff_text(pair.hunks)})
    return Damaged(f"```json\n{answer}\n```\n" if rng.random() < 0.5 else answer, frozenset({pair.target}))


def doubled_line_ends(pair: Pair, rng: random.Random) -> Damaged:
    """An empty line behind every line, as between the paragraphs of a page."""
    return Damaged(diff_text(pair.hunks).replace("\n", "\n\n"), frozenset({pair.target}))


KINDS = (
    Kind("HTML escapes", "entities for `<`, `>` and `&`, quotes too or not", html_escapes),
    Kind("JSON string", "a value in a JSON object, bare or in a fence", json_string),
    Kind("doubled line ends", "an empty line behind every line", doubled_line_ends),
)
