"""What candidates are copies of, for the report: with the layer that saw it and the differing lines."""

from typing import Any

Json = dict[str, Any]

_COMPARED_WITH = {
    "parent": "its parent",
    "search": "this search",
    "corpus": "the reference networks",
    "tenant": "all of the tenant's searches",
}
_FATES = {
    "reject": "not evaluated",
    "flag": "evaluated and flagged",
    "penalise": "evaluated, and {penalty:g} % lower in selection",
}


def novelty_sentence(rules: Json | None) -> str | None:
    """The rules of a search in words."""
    if not rules:
        return None
    scopes = ", ".join(_COMPARED_WITH.get(scope, scope) for scope in rules["scopes"])
    fate = _FATES[rules["policy"]].format(penalty=100 * rules["penalty"])
    return f"compared with {scopes}; copies from a Jaccard similarity of {rules['threshold']} on are {fate}"
