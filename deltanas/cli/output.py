"""How commands speak: people read tables, programs read one JSON document on standard output.

Everything that is not the result goes to standard error. Text of candidates, proposers and logs is
hostile: it loses its control characters here and is never read as markup.
"""

import json
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]

_PIPE_WIDTH = 120
_MIB = 1024 * 1024


def result_console() -> Console:
    """Standard output."""
    return _console(stderr=False)


def news_console() -> Console:
    """Standard error: progress, news, and what went wrong."""
    return _console(stderr=True)


def _console(stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def emit(document: Any) -> None:
    """Print the JSON document of a command."""
    sys.stdout.write(json.dumps(document, ensure_ascii=True, indent=2) + "\n")
    sys.stdout.flush()


def tell(sentence: str) -> None:
    """Say what is going on, on standard error."""
    news_console().print(Text(plain(sentence), style="dim"))


def complain(sentence: str, remedy: str | None = None) -> None:
    """Say what went wrong, and what to do about it, on standard error."""
    console = news_console()
    console.print(Text.assemble(("error: ", "bold red"), plain(sentence, keep_lines=True)))
    if remedy:
        console.print(Text.assemble(("remedy: ", "bold"), plain(remedy)))


def plain(text: object, limit: int = 2000, keep_lines: bool = False) -> str:
    """Text that cannot steer a terminal: no control, format or surrogate characters, and a bounded length."""
    raw = str(text)
    kept = "".join(_harmless(character, keep_lines) for character in raw[:limit])
    return kept + ("…" if len(raw) > limit else "")


def _harmless(character: str, keep_lines: bool) -> str:
    if character in "\n\t":
        return character if keep_lines else " "
    # Cc: ANSI escapes and the like. Cf: bidirectional overrides. Zl, Zp: hidden line breaks.
    return "�" if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} else character


def print_source(source: str) -> None:
    """Print a program: exactly as it is into a pipe, and harmless to a terminal."""
    shown = plain(source, limit=len(source), keep_lines=True) if sys.stdout.isatty() else source
    sys.stdout.write(shown if shown.endswith("\n") else f"{shown}\n")


def table(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    """A table in the style of the house; columns in `right` hold numbers."""
    made = Table(box=None, header_style="bold", pad_edge=False, title=title, title_justify="left")
    for place, column in enumerate(columns):
        numeric = column in right
        # On a narrow terminal numbers would take all the room, and nobody would know whose they are.
        least = 8 if column and place == 0 and not numeric else None
        made.add_column(
            column,
            justify="right" if numeric else "left",
            no_wrap=numeric,
            overflow="fold",
            min_width=least,
        )
    return made


def cell(text: object, style: str = "") -> Text:
    """One cell of a table."""
    return Text(plain(text, limit=300), style=style)


def percent(fraction: float | None, digits: int = 2) -> str:
    """0.8534 → '85.34 %'."""
    return "–" if fraction is None else f"{100 * fraction:.{digits}f} %"


def accuracy(fraction: float | None, standard_error: float | None) -> str:
    """0.8534, 0.0051 → '85.34 ± 0.51 %'."""
    if fraction is None or standard_error is None:
        return percent(fraction)
    return f"{100 * fraction:.2f} ± {100 * standard_error:.2f} %"


def seconds(value: float | None) -> str:
    """12.345 → '12.3 s'."""
    return "–" if value is None else f"{value:.1f} s"


def mebibytes(value: float | None) -> str:
    """Bytes → '512 MiB'."""
    return "–" if value is None else f"{value / _MIB:.0f} MiB"


@contextmanager
def waiting(sentence: str, quiet: bool) -> Iterator[None]:
    """Show a spinner on a terminal while something takes its time."""
    console = news_console()
    if quiet or not console.is_terminal:
        yield
        return
    with console.status(Text(plain(sentence))):
        yield
