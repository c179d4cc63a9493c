"""Whether the endpoints of language models answer that the user's environment names.

A process with the environment of the generator asks them: keys are for it alone, and none comes back.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from deltanas.cli.checks import Check
from deltanas.home import Home
from deltanas.services import environment_of

_PART = "language models"
_ASKS = "generator_svc.language_models"
_SECONDS = 120.0
"""Each endpoint is given five."""


def endpoint_checks(home: Home) -> Iterator[Check]:
    """One check for each endpoint. None has to answer: there are proposers that need no model."""
    environment = environment_of("generator", home.path)
    if not any(name.startswith("DELTANAS_LLM_") for name in environment):
        yield Check("endpoints", True, "none is set up", required=False, part=_PART)
        return
    try:
        asked = subprocess.run(
            [sys.executable, "-m", _ASKS], env=environment, capture_output=True, text=True, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        found = f"could not be asked: {type(error).__name__}"
        yield Check("endpoints", False, found, "deltanas doctor", required=False, part=_PART)
        return
    if asked.returncode != 0:
        said = asked.stderr.strip().splitlines() or ["the check failed"]
        remedy = "mend the variable: the generator does not start with it (docs/user-guide.md)"
        yield Check("endpoints", False, said[-1], remedy, part=_PART)
        return
    for line in asked.stdout.splitlines():
        yield _check(json.loads(line))


def _check(found: dict[str, Any]) -> Check:
    name = f"endpoint {found['name']}"
    return Check(name, found["answers"], found["found"], found["remedy"], required=False, part=_PART)
