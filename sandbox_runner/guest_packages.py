"""Which installed packages a guest sees: torch, torchvision, numpy, and what these three require.

Not the folders they lie in: an operator's site-packages may hold private code, or data sets with their test
labels, and a score must not depend on what else happens to be installed. What is a package's is read from the
record of files that its installer kept. Extras are left out.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from sandbox_runner.sandboxes.port import ReadOnlyMount, SandboxUnavailable

PACKAGES = ("torch", "torchvision", "numpy")
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@cache
def package_mounts(inside: str) -> tuple[ReadOnlyMount, ...]:
    """Each entry of the packages' folders at `inside`/<number of the folder>/<entry>.

    Raises SandboxUnavailable when torch is not installed here.
    """
    entries = sorted({entry for package in _required() for entry in _entries(package)})
    folders = list(dict.fromkeys(entry.parent for entry in entries))
    return tuple(
        ReadOnlyMount(entry, f"{inside}/{folders.index(entry.parent)}/{entry.name}") for entry in entries
    )


def package_folders(inside: str) -> tuple[str, ...]:
    """The folders at `inside` that belong on the guest's module search path."""
    return tuple(dict.fromkeys(str(Path(mount.inside).parent) for mount in package_mounts(inside)))


def _required() -> Iterator[metadata.Distribution]:
    pending, seen = list(PACKAGES), set()
    while pending:
        name = pending.pop(0)
        if name in seen:
            continue
        seen.add(name)
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError as error:
            if name in PACKAGES:
                message = f"{name} is not installed; pip install 'deltanas[runner]'"
                raise SandboxUnavailable(message) from error
            continue  # required on other platforms, or with other versions of Python
        yield package
        for requirement in package.requires or ():
            match = _REQUIREMENT.match(requirement)
            if match and not re.search(r";.*\bextra\b", requirement):
                pending.append(re.sub(r"[-_.]+", "-", match[1]).lower())


def _entries(package: metadata.Distribution) -> Iterator[Path]:
    """Files and folders of a package, directly below the folder that it is installed in."""
    names = {file.parts[0] for file in package.files or ()}
    if not names:
        # Distributions of Linux strip the record: the modules it was published with are all we know.
        known = (package.read_text("top_level.txt") or package.metadata["Name"].replace("-", "_")).split()
        names = {name for module in known for name in (module, f"{module}.py")}
    for name in sorted(names - {"..", "__pycache__"}):
        path = Path(str(package.locate_file(""))).resolve() / name
        if path.exists() and path.suffix != ".pth":
            yield path
