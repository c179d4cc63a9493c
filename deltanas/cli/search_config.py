"""Reads the YAML file of `deltanas search run`: the fields of `POST /v1/searches`, checked by the server."""

from pathlib import Path
from typing import Any

import typer
import yaml

from deltanas.cli.sources import read_text


def read_search_config(path: Path) -> dict[str, Any]:
    """The request in a YAML file. A file that is none is bad usage (exit code 2)."""
    try:
        request = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"{path} is not YAML: {error}") from error
    if not isinstance(request, dict) or not all(isinstance(key, str) for key in request):
        raise typer.BadParameter(f"{path} must hold `name: value` lines, such as `dataset: fashion-mnist`")
    request.setdefault("name", path.stem)
    return request
