"""`deltanas agent` on a host of a farm: real runner, real sandboxes, and a real Redis behind it."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from farm import START_SECONDS, TOKEN, Farm
from processes import descendants_of, until
from sample_networks import CONVOLUTIONAL
from up_process import DELTANAS

from sandbox_runner.specimens import quadrants

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.full, pytest.mark.timeout(900)]


@pytest.fixture
def farm(tmp_path, redis_server):
    (tmp_path / "gateway").mkdir()
    started = Farm(tmp_path / "gateway", redis_server.url, lease_seconds=15, republish_seconds=10)
    yield started.start_gateway()
    started.close()


@pytest.fixture
def host(farm, tmp_path):
    """The command, and what it says."""
    home = tmp_path / "host"
    home.mkdir()
    for folder in (tmp_path, home):
        folder.chmod(0o755)
    quadrants.write_quadrants(home)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "DELTANAS_HOME": str(home),
        "DELTANAS_SERVICE_TOKEN": TOKEN,
        "DELTANAS_BROKER_URL": farm.broker_url,
        "DELTANAS_AGENT_HEARTBEAT_SECONDS": "1",
        "DELTANAS_RUNNER_WARM": "0",
        "DELTANAS_LOG_FORMAT": "text",
    }
    gateway = f"unix:{farm.home}/g.sock"
    words = ["agent", "--gateway", gateway, "--slots", "1", "--id", "host-1", "--drain-seconds", "120"]
    process = subprocess.Popen(
        [DELTANAS, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


def test_a_host_evaluates_what_it_hears_of_and_only_its_agent_knows_from_whom(farm, host):
    def is_ready():
        assert host.poll() is None, host.stdout.read()
        agent = farm.known_agents().get("host-1")
        return agent is not None and agent["capabilities"]["tier"] is not None

    until(is_ready, START_SECONDS, "the host lends its slots")
    patience = {"startup_seconds": 600, "predict_batch_seconds": 120}  # a machine that does ten other things
    ids = farm.submit(2, source=CONVOLUTIONAL, dataset=quadrants.NAME, limits=patience)
    until(lambda: any(farm.read(one)["state"] == "running" for one in ids), START_SECONDS, "one runs")
    knows = {
        _what_it_is(pid)
        for pid in descendants_of(host.pid)
        if any(secret in _all_it_holds(pid) for secret in (b"redis://", b"g.sock", TOKEN.encode()))
    }
    assert knows == {"sandbox_runner.agent"}

    documents = farm.all_ended(ids)
    assert [document["state"] for document in documents] == ["succeeded"] * 2
    assert {document["attempts"][-1]["agent"] for document in documents} == {"host-1"}
    assert all(document["measurement"]["accuracy"] > quadrants.CONSTANT_ACCURACY for document in documents)

    family = descendants_of(host.pid)
    host.send_signal(signal.SIGTERM)
    assert host.wait(START_SECONDS) == 0
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), 60, "nothing is left of it")


def _all_it_holds(pid):
    """Its command line and its environment."""
    held = b""
    for name in ("cmdline", "environ"):
        try:
            held += Path(f"/proc/{pid}/{name}").read_bytes()
        except OSError:
            continue
    return held


def _what_it_is(pid):
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return words[2].decode() if words[1:2] == [b"-m"] else b" ".join(words).decode()
