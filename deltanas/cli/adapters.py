"""`deltanas adapters`: what fine-tunes came to, listed, shown, downloaded and removed."""

import hashlib
from pathlib import Path
from typing import Annotated, Any

import typer

from deltanas.cli.connection import connected
from deltanas.cli.output import JsonOption, cell, emit, result_console, table, tell
from deltanas.cli.progress_bar import progress_bar
from deltanas.client import Client
from deltanas.errors import PlatformFailed, RequestInvalid

app = typer.Typer(help="LoRA adapters: what fine-tunes came to.", no_args_is_help=True)

Json = dict[str, Any]
AdapterArgument = Annotated[str, typer.Argument(metavar="ID", help="An adapter, ft_…")]

_MANIFEST = "manifest.json"


@app.command("list")
def list_adapters(as_json: JsonOption = False) -> None:
    """All adapters, newest first."""
    with connected(need_ready=False, quiet=as_json) as client:
        found = client.adapters()
    if as_json:
        emit(found)
        return
    shown = table(
        "adapter", "model", "parent", "loss before", "after", "adopted", right=("loss before", "after")
    )
    for adapter in found:
        result = adapter["result"]
        shown.add_row(
            cell(adapter["id"]),
            cell(adapter["base_model"]),
            cell(adapter["parent_adapter"] or "–"),
            f"{result['validation_loss_before']:.4f}",
            f"{result['validation_loss_after']:.4f}",
            "yes" if result["adopted"] else "no",
        )
    result_console().print(shown)


@app.command()
def show(adapter: AdapterArgument, as_json: JsonOption = False) -> None:
    """Where an adapter comes from, and how it did."""
    with connected(need_ready=False, quiet=as_json) as client:
        found = client.adapter(adapter)
    if as_json:
        emit(found)
        return
    shown = table("", "")
    for name in ("base_model", "base_source", "base_weights_sha256", "parent_adapter", "search_id"):
        shown.add_row(name.replace("_", " "), cell(found[name] or "–"))
    settings = found["settings"]
    for name in ("preset", "rank", "alpha", "learning_rate", "epochs", "seed"):
        shown.add_row(name.replace("_", " "), cell(settings[name]))
    shown.add_row("chats", cell(f"{found['chats']['train']} + {found['chats']['validation']} validation"))
    shown.add_row("steps", cell(found["steps"]))
    shown.add_row("outcome", cell(found["result"]["reason"]))
    for file in found["files"]:
        shown.add_row(cell(file["name"]), f"{file['size_bytes']:,} bytes")
    result_console().print(shown)


@app.command()
def download(
    adapter: AdapterArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write to.")],
    as_json: JsonOption = False,
) -> None:
    """Download an adapter as PEFT and vLLM load it; every file is checked against its manifest."""
    with connected(need_ready=False, quiet=as_json) as client:
        manifest = client.adapter(adapter)
        folder = _folder(output)
        names = [_fetched(client, adapter, file, folder, as_json) for file in manifest["files"]]
        names.append(_fetched(client, adapter, {"name": _MANIFEST}, folder, as_json))
        for name in names:
            (folder / f".{name}.unfinished").replace(folder / name)
    if as_json:
        emit({"output": str(output), "files": names, **manifest})
    else:
        tell(f"written to {output}")


@app.command()
def remove(adapter: AdapterArgument, as_json: JsonOption = False) -> None:
    """Remove an adapter that no fine-tune or search needs."""
    with connected(need_ready=False, quiet=as_json) as client:
        client.remove_adapter(adapter)
    if as_json:
        emit({"removed": adapter})
    else:
        tell(f"{adapter} is removed")


def _folder(output: Path) -> Path:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestInvalid(
            f"cannot write to the folder {output}: {error.strerror}",
            {"code": "output_unusable", "field": "output", "value": str(output)},
        ) from error
    return output


def _fetched(client: Client, adapter: str, file: Json, folder: Path, quiet: bool) -> str:
    """Write one file under a name of its own until all are there; gives its name."""
    name = str(file["name"])
    if not name or name.startswith(".") or Path(name).name != name:
        raise PlatformFailed(f"the server names a file that is none: {name[:60]!r}")
    digest = hashlib.sha256()
    with progress_bar(quiet, own_count=True) as bar, (folder / f".{name}.unfinished").open("wb") as target:
        task = bar.add_task(name, total=file.get("size_bytes"), count="")
        for chunk in client.adapter_file(adapter, name):
            target.write(chunk)
            digest.update(chunk)
            bar.advance(task, len(chunk))
    if "sha256" in file and digest.hexdigest() != file["sha256"]:
        (folder / f".{name}.unfinished").unlink()
        raise PlatformFailed(f"{name} is not the file that the manifest tells of")
    return name
