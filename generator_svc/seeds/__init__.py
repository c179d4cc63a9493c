"""The baseline networks shipped with the service, read as text and never imported."""

import ast
from functools import lru_cache
from importlib.resources import files

import yaml

from contracts.jobs import BaselineNetwork
from contracts.source_rules import check_source
from contracts.syntax import parse


@lru_cache(maxsize=1)
def baseline_networks() -> dict[str, BaselineNetwork]:
    """Every baseline by name, in catalogue order.

    Raises ValueError when an entry and its source disagree: a broken installation, not bad input.
    """
    folder = files("generator_svc.seeds")
    entries = yaml.safe_load((folder / "networks.yaml").read_text(encoding="utf-8"))
    networks = {}
    for entry in entries:
        source = (folder / "networks" / entry["file"]).read_text(encoding="utf-8")
        checked = check_source(source)
        if checked.contract != entry["contract"]:
            raise ValueError(
                f"{entry['file']} follows the {checked.contract} contract, not {entry['contract']}"
            )
        networks[entry["name"]] = BaselineNetwork(
            entry["name"],
            entry["family"],
            entry["contract"],
            _first_docstring_line(source),
            source,
            dict(entry["hyperparameters"]),
        )
    return networks


def _first_docstring_line(source: str) -> str:
    return (ast.get_docstring(parse(source)) or "").partition("\n")[0]
