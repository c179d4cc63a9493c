"""`deltanas up` with all real services: it restarts what dies, is alone on its home, and leaves nothing."""

import os
import signal
import socket
from pathlib import Path

import httpx
import pytest
from processes import is_running, until
from up_process import LAUNCHER, MODULES, Home, Up

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def up(home):
    running = Up.started(home)
    yield running
    if running.process.poll() is None:
        running.end()


def is_ready(up):
    try:
        return httpx.get(f"{up.address}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def environment_of(pid):
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(pair.decode().split("=", 1) for pair in pairs if pair)


def test_all_services_run_and_are_ready_when_it_says_so(up):
    assert set(up.children()) == set(MODULES)
    assert is_ready(up)


def test_no_service_inherits_anything_and_the_token_stays_with_the_callers(up):
    environments = {module: environment_of(pid) for module, pid in up.children().items()}
    assert all("SECRET" not in environment for environment in environments.values())
    holders = {module for module, known in environments.items() if "DELTANAS_SERVICE_TOKEN" in known}
    assert holders == {"gateway", "sandbox_runner.agent"}
    token = environments["gateway"]["DELTANAS_SERVICE_TOKEN"]
    runner = environments["sandbox_runner"]
    assert all(token not in value for value in runner.values())
    assert set(runner) - {"PATH", "HOME", "LANG"} == {
        "DELTANAS_HOME", "DELTANAS_GATEWAY_ADDRESS", "DELTANAS_GENERATOR_ADDRESS", "DELTANAS_FILTER_ADDRESS",
        "DELTANAS_RUNNER_ADDRESS", "DELTANAS_SERVICE_TOKEN_SHA256", "DELTANAS_LAUNCHER_SOCKET",
    }  # fmt: skip
    assert set(environments[LAUNCHER]) - {"PATH", "HOME", "LANG"} == {
        "DELTANAS_HOME", "DELTANAS_LAUNCHER_SOCKET",
    }  # fmt: skip


def test_sockets_and_logs_are_the_owners_alone(up, home):
    for folder in (home.path / "run", home.path / "logs"):
        assert folder.stat().st_mode & 0o077 == 0
    assert {path.name for path in (home.path / "run").iterdir()} >= {"runner.sock", "filter.sock"}


def test_a_second_server_on_the_same_home_says_where_the_first_runs(up, home):
    second = home.run("up", "--port", "0")
    assert second.returncode == 3
    assert up.address in second.stderr
    assert set(up.children()) == set(MODULES)


def test_a_command_uses_the_running_server_and_leaves_it_running(up, home):
    listed = home.run("baselines", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    assert '"residual"' in listed.stdout
    assert "starting" not in listed.stderr
    assert is_ready(up)


@pytest.mark.parametrize("module", MODULES)
def test_a_killed_service_is_back_within_moments(up, module):
    victim = up.children()[module]
    os.kill(victim, signal.SIGKILL)
    until(lambda: up.children().get(module, victim) != victim, 12, f"{module} runs again")
    until(lambda: is_ready(up), 60, "ready again")


def test_killing_the_supervisor_ends_every_service(home, up):
    children = up.children()
    up.end(signal.SIGKILL)
    until(lambda: not any(is_running(pid) for pid in children.values()), 40, "all services ended")


def test_a_server_can_start_where_one_was_killed_and_ends_clean_on_sigterm(home):
    again = Up.started(home)
    children = again.children()
    assert again.end() == 0
    assert not any(is_running(pid) for pid in children.values())
    assert not (home.path / "run").exists()


def test_a_port_in_use_is_named_with_the_remedy(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = Home(tmp_path).run("up", "--port", str(port))
    assert refused.returncode == 3
    assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr
    assert "--port" in refused.stderr


def test_a_public_address_is_refused_without_keys(tmp_path):
    refused = Home(tmp_path).run("up", "--host", "0.0.0.0")
    assert refused.returncode == 2
    assert "no API key is in force" in refused.stderr
