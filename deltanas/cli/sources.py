"""Reads and writes what a user names on the command line: a source, a delta, `-` for standard input."""

import sys
from pathlib import Path

import typer

from contracts.names import MAX_DELTA_BYTES

_MAX_BYTES = 4 * MAX_DELTA_BYTES


def read_text(path: Path) -> str:
    """The text of a file, or of standard input for `-`. A file that is no text is bad usage (exit code 2)."""
    try:
        if str(path) == "-":
            raw = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with path.open("rb") as file:
                raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise typer.BadParameter(f"cannot read {path}: {error.strerror}") from error
    if len(raw) > _MAX_BYTES:
        raise typer.BadParameter(f"{path} is larger than {_MAX_BYTES} bytes; a source has at most 65536")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} is not UTF-8 text (byte {error.start})") from error


def write_text(path: Path, text: str) -> None:
    """Write a result to a file. One that cannot be written is bad usage (exit code 2)."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"cannot write {path}: {error.strerror}") from error


def parse_settings(pairs: list[str]) -> dict[str, float | int | str | bool]:
    """`["lr=0.01", "momentum=0.9"]` → a dictionary; values read as YAML scalars. Raises BadParameter."""
    import yaml

    settings: dict[str, float | int | str | bool] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r}: write NAME=VALUE")
        try:
            parsed = _number(value) if _number(value) is not None else yaml.safe_load(value)
        except yaml.YAMLError:
            parsed = None
        if not isinstance(parsed, float | int | str | bool):
            raise typer.BadParameter(f"{pair!r}: the value must be a number, a word, true or false")
        settings[name] = parsed
    return settings


def _number(text: str) -> float | int | None:
    """YAML 1.1 takes 1e-3 for a word; people mean a number."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None
