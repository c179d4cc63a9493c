"""What is left after every attack of this folder: the last file of it."""

import pytest
from api_target import Target

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


def test_after_every_attack_the_first_processes_still_measure_an_honest_network(target: Target) -> None:
    ended = target.ended(target.submit(seed=99, reuse=False))
    assert ended["state"] == "succeeded", ended["failure"]
    assert ended["measurement"]["accuracy"] > 0.5
    assert target.server.services() == target.first_processes
    assert not target.canary.exists()


def test_the_server_then_ends_as_it_is_told_and_has_logged_no_failure_of_its_own(target: Target) -> None:
    server = target.server
    server.stop()
    assert server.process is not None
    assert server.process.returncode == 0
    log = "".join(path.read_text(errors="replace") for path in (server.home / "logs").iterdir())
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:4000]
