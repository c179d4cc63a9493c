"""The bar of everything that takes long: on a terminal, beside the results, and gone when it is over."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deltanas.cli.output import news_console


def progress_bar(quiet: bool, own_count: bool = False) -> Progress:
    """A bar that counts, or with `own_count` shows the text in a task's field `count`; in a pipe, none."""
    console = news_console()
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[count]}", markup=False) if own_count else MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
