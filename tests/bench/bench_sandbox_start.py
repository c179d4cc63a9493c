"""What a sandbox costs: a Python that does nothing, and one that trains, plain and sandboxed."""

import subprocess
import sys
import tempfile
from pathlib import Path

from timing import compare

from contracts.measurements import Limits
from sandbox_runner.guest_packages import package_folders
from sandbox_runner.python_environment import PACKAGES_INSIDE, guest_spec, python_command
from sandbox_runner.sandboxes.namespaces import NamespacesBackend
from sandbox_runner.sandboxes.port import SandboxSpec

CONVOLUTION = (
    "import torch; torch.set_num_threads(1);"
    "torch.nn.Conv2d(1, 8, 3)(torch.randn(2, 1, 28, 28)).sum().backward()"
)


def sandboxed(backend: NamespacesBackend, spec: SandboxSpec) -> None:
    """Run one sandbox to the end of its first process."""
    sandbox = backend.launch(spec)
    try:
        while sandbox.exit() is None:
            pass
    finally:
        sandbox.close()


def main() -> None:
    """Print both comparisons."""
    folder = tempfile.TemporaryDirectory(prefix="bench-start-")
    backend = NamespacesBackend(Path(folder.name))
    bare = SandboxSpec("bench-bare", python_command("pass"), Limits())
    guest = guest_spec("bench-torch", Limits(), 1)
    packages = package_folders(PACKAGES_INSIDE)
    inside = f"import sys; sys.path += {list(packages)!r}; {CONVOLUTION}"
    torch = SandboxSpec("bench-torch", python_command(inside), Limits(), environment=guest.environment)
    compare(
        "python -c pass",
        {
            "plain process": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
            "namespaces sandbox": lambda: sandboxed(backend, bare),
        },
        rounds=15,
    )
    compare(
        "import torch, one convolution forward and backward",
        {
            "plain process": lambda: subprocess.run([sys.executable, "-c", CONVOLUTION], check=True),
            "namespaces sandbox": lambda: sandboxed(backend, torch),
        },
        rounds=5,
    )
    backend.close()
    folder.cleanup()


if __name__ == "__main__":
    main()
