"""What the tests of an operator's bad days share: who is the victim, and what must come of it."""

import os

from contracts.failures import FailureReason
from sandbox_runner.specimens import quadrants
from sandbox_runner.specimens.specimen import CONTROL

SLEEPS = "import time\ntime.sleep(600)\n" + CONTROL.source
FORKS_AND_SLEEPS = "import os\nos.fork()\nos.fork()\n" + SLEEPS
PLATFORM_SECONDS = 60
"""Within this an attempt must end whose platform has gone; usual are two."""


def open_to_sandboxes(folder):
    """The sandbox alone keeps its user from what is here."""
    for path in (folder, *folder.parents):
        if str(path).startswith("/tmp/") and path.stat().st_uid == os.geteuid():
            path.chmod(0o755)


def score(outcome):
    assert outcome.failure is None, (outcome.failure, outcome.log)
    assert outcome.measurement.accuracy > quadrants.CONSTANT_ACCURACY + 0.1
    return outcome.measurement.accuracy


def assert_platform_failed(outcome, *words):
    assert outcome.measurement is None
    assert outcome.failure.reason is FailureReason.INFRASTRUCTURE, outcome.failure
    assert all(word in outcome.failure.message for word in words), outcome.failure.message
