"""Who owns a state folder, who uses it, and what each service may know."""

import multiprocessing
import os

import pytest

from contracts.addresses import parse_address
from contracts.service_gate import token_digest
from deltanas.home import Home, HomeUnusable, ServerRecord, ServerRunning
from deltanas.services import make_run_folder, services_of_one_machine

FIRST = ServerRecord("http://127.0.0.1:8000", os.getpid(), True)
GATEWAY = "http://127.0.0.1:8000"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DELTANAS_HOME", str(tmp_path / "home"))
    return Home.locate()


def test_nobody_runs_in_a_new_home(home):
    assert home.running_server() is None


@pytest.mark.slow
def test_the_owner_is_found_and_keeps_others_out(home):
    with home.own(FIRST) as publish:
        assert home.running_server() == FIRST
        with pytest.raises(ServerRunning, match=r"http://127\.0\.0\.1:8000") as refused, home.own(FIRST):
            pass
        assert refused.value.record == FIRST
        publish(ServerRecord("http://127.0.0.1:9", 1))
        assert home.running_server() == ServerRecord("http://127.0.0.1:9", 1, False)
    assert home.running_server() is None


def test_an_owner_that_was_killed_owns_nothing(home):
    ready = multiprocessing.Event()

    def own_for_ever():
        with home.own(ServerRecord("http://127.0.0.1:1", os.getpid())):
            ready.set()
            ready.wait(60)
            multiprocessing.Event().wait(60)

    other = multiprocessing.get_context("fork").Process(target=own_for_ever)
    other.start()
    assert ready.wait(10)
    assert home.running_server().pid == other.pid
    other.kill()
    other.join(10)
    assert home.running_server() is None
    with home.own(FIRST):
        assert home.running_server() == FIRST


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"address": 1}'])
def test_a_half_written_record_is_a_server_still_starting(home, text):
    with home.own(FIRST):
        (home.path / "server.lock").write_bytes(text)
        assert home.running_server() == ServerRecord("", 0)


def test_a_server_is_unused_when_its_last_user_has_gone(home):
    with home.use(), home.use(), home.no_users() as unused:
        assert not unused
    with home.no_users() as unused:
        assert unused


def test_a_home_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DELTANAS_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(HomeUnusable, match="DELTANAS_HOME"):
        Home.locate()


def test_the_default_home_is_the_users_data_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("DELTANAS_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert Home.locate().path == tmp_path / "deltanas"


def test_a_run_folder_is_fresh_private_and_short(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    near = make_run_folder(tmp_path)
    (near / "old.sock").write_text("")
    assert list(make_run_folder(tmp_path).iterdir()) == []
    far = make_run_folder(tmp_path / ("long" * 40))
    for folder in (near, far):
        assert folder.stat().st_mode & 0o777 == 0o700
        parse_address(f"unix:{folder}/generator.sock")
    far.rmdir()


def test_each_service_knows_what_it_needs_and_no_more(tmp_path, monkeypatch):
    for name in ("AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "DELTANAS_SERVICE_TOKEN", "DELTANAS_RUNNER_ADDRESS"):
        monkeypatch.setenv(name, "from the user")
    monkeypatch.setenv("DELTANAS_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("DELTANAS_RUNNER_SLOTS", "3")
    services = {s.name: s.environment for s in services_of_one_machine(tmp_path, tmp_path / "run", GATEWAY)}
    assert all("from the user" not in environment.values() for environment in services.values())
    token = services["gateway"]["DELTANAS_SERVICE_TOKEN"]
    assert services["agent"]["DELTANAS_SERVICE_TOKEN"] == token
    for name in ("runner", "generator", "filter"):
        assert token not in services[name].values()
        assert services[name]["DELTANAS_SERVICE_TOKEN_SHA256"] == token_digest(token)
    monkeypatch.setenv("DELTANAS_DOCKER_HOST", "unix:///run/user/1000/docker.sock")
    services = {s.name: s.environment for s in services_of_one_machine(tmp_path, tmp_path / "run", GATEWAY)}
    assert set(services["launcher"]) <= {
        *("PATH", "HOME", "LANG", "DELTANAS_HOME", "DELTANAS_DOCKER_HOST", "DELTANAS_LAUNCHER_SOCKET")
    }
    for setting, knower in (
        ("DELTANAS_DATABASE_URL", "gateway"),
        ("DELTANAS_RUNNER_SLOTS", "runner"),
        ("DELTANAS_DOCKER_HOST", "launcher"),
    ):
        assert [name for name, environment in services.items() if setting in environment] == [knower]


def test_every_start_has_a_token_of_its_own(tmp_path):
    tokens = {
        services_of_one_machine(tmp_path, tmp_path, GATEWAY)[-1].environment["DELTANAS_SERVICE_TOKEN"]
        for _ in range(3)
    }
    assert len(tokens) == 3
