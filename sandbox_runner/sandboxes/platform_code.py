"""What of the platform's own code runs inside a sandbox, where it lies there, and how process 1 is started.

It has the same import names inside and outside. Nothing in it is secret: the guest can read it.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from sandbox_runner import python_environment
from sandbox_runner.sandboxes.port import ReadOnlyMount

SOURCE_INSIDE = f"{python_environment.HOME_INSIDE}/source"
MODULES = ("first_process", "landlock")
"""Of this package. On the bare standard library, like all that runs in a sandbox before the guest."""
_BOOT = (
    f"import sys; sys.path.insert(0, {SOURCE_INSIDE!r}); "
    "from sandbox_runner.sandboxes.first_process import main; main()"
)


def mounts() -> tuple[ReadOnlyMount, ...]:
    """Where each module lies on the host and inside."""
    here = Path(__file__).parent
    return tuple(
        ReadOnlyMount(here / f"{name}.py", f"{SOURCE_INSIDE}/sandbox_runner/sandboxes/{name}.py")
        for name in MODULES
    )


def first_process_command(setup: Mapping[str, object]) -> list[str]:
    """Run `first_process` with `setup` as its one argument."""
    return [python_environment.interpreter(), "-I", "-S", "-c", _BOOT, json.dumps(setup)]
