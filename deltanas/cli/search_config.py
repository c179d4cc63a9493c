"""Reads the YAML file of `deltanas search run`: the fields of `POST /v1/searches`, checked by the server."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
import yaml

from deltanas.cli.sources import read_text
from deltanas.errors import DeltanasError


@dataclass(frozen=True)
class SearchConfig:
    """A request, and where in its file each field stands."""

    path: Path
    request: dict[str, Any]
    root: yaml.MappingNode

    def placed(self, error: DeltanasError) -> DeltanasError:
        """The server's refusal of the request, with the file and the line of the field at fault."""
        field = error.field or ""
        line = _line_of(field, self.root)
        place = f"{self.path}, line {line}" if line else str(self.path)
        named = f"{field}: " if field and field not in str(error) else ""
        return type(error)(f"{place}: {named}{error}", error.problem)


def read_search_config(path: Path) -> SearchConfig:
    """The request in a YAML file. A file that is none is bad usage (exit code 2)."""
    text = read_text(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        request = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: a date that is none, such as 2026-13-01.
        raise typer.BadParameter(f"{path} is not YAML: {error}") from error
    if not isinstance(root, yaml.MappingNode) or not all(isinstance(key, str) for key in request):
        raise typer.BadParameter(f"{path} must hold `name: value` lines, such as `dataset: fashion-mnist`")
    for name, line in _repeated_names(root):
        raise typer.BadParameter(f"{path}, line {line}: {name} is set a second time; keep one of them")
    request.setdefault("name", path.stem)
    return SearchConfig(path, request, root)


def _line_of(field: str, root: yaml.MappingNode) -> int | None:
    """The line of a field such as `edits.only.1`, or of what it would be a part of; None if none is there."""
    node: yaml.Node = root
    line = None
    for name in field.split(".") if field else ():
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == name]
        elif isinstance(node, yaml.SequenceNode) and name.isdecimal():
            found = [(value, value) for value in node.value[int(name) : int(name) + 1]]
        else:
            found = []
        if not found:
            return line
        key, node = found[0]
        line = key.start_mark.line + 1
    return line


def _repeated_names(root: yaml.Node) -> Iterator[tuple[str, int]]:
    """Names that one mapping has twice, of which YAML would keep the last without a word."""
    pending, seen = [root], {id(root)}
    while pending:
        node = pending.pop()
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            names: set[str] = set()
            for key, _ in parts:
                if isinstance(key, yaml.ScalarNode) and key.value in names:
                    yield key.value, key.start_mark.line + 1
                names.add(str(key.value))
            parts = [value for _, value in parts]
        fresh = [part for part in parts if id(part) not in seen]
        seen.update(map(id, fresh))
        pending += fresh
