"""The house's walls: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUEST_MAY_IMPORT = {"torch", "torchvision", "numpy", "contracts", "sandbox_runner"}


def imported_top_levels(folder: Path) -> dict[str, set[str]]:
    """Top-level package names that each file of a folder imports."""
    found: dict[str, set[str]] = {}
    for file in folder.rglob("*.py"):
        names = found.setdefault(str(file.relative_to(ROOT)), set())
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add((node.module or "").split(".")[0])
    return found


def test_import_rules_hold():
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("folder", "allowed"), [("contracts", {"contracts"}), ("sandbox_runner/guest", GUEST_MAY_IMPORT)]
)
def test_only_the_standard_library_and_the_named_packages_are_imported(folder, allowed):
    strangers = {
        file: names - sys.stdlib_module_names - allowed
        for file, names in imported_top_levels(ROOT / folder).items()
    }
    assert {file: names for file, names in strangers.items() if names} == {}
