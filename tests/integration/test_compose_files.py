"""What deploy/compose*.yaml promise before anything starts: the engine's socket, secrets, networks."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml

from contracts.service_gate import token_digest

DEPLOY = Path(__file__).parents[2] / "deploy"
OVERRIDES = ("debian", "tls", "containers", "gvisor", "gpu", "training")
SECRETS = {"service_token", "postgres_password", "redis_password", "deltanas_metrics_token"}


class Compose(yaml.SafeLoader):
    """YAML with the two tags that Compose adds to it."""


Compose.add_constructor("!reset", lambda loader, node: None)
Compose.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


def read(name):
    return yaml.load((DEPLOY / name).read_text(), Compose)


BASE = read("compose.yaml")


@pytest.mark.parametrize("name", ["compose.yaml", *(f"compose.{each}.yaml" for each in OVERRIDES)])
def test_the_engines_socket_is_the_launchers_alone_and_nobody_is_privileged(name):
    for service, told in read(name)["services"].items():
        has_socket = any("docker.sock" in str(volume) for volume in told.get("volumes", ()))
        assert has_socket == (service == "launcher"), service
        assert "privileged" not in told
        assert told.get("pid") is None or service == "launcher"


def test_every_service_is_read_only_and_gives_up_its_capabilities():
    for name, told in BASE["services"].items():
        assert told["read_only"], name
        assert told["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in told["security_opt"], name
    assert [name for name, told in BASE["services"].items() if "cap_add" in told] == ["runner", "postgres"]


def test_the_runner_has_no_network_and_no_secret_that_opens_anything():
    runner = BASE["services"]["runner"]
    assert runner["network_mode"] == "none"
    assert "networks" not in runner
    assert runner["secrets"] == ["service_token_sha256"]


def test_only_the_proxy_is_published_and_only_on_loopback_by_default():
    published = {name: told["ports"] for name, told in BASE["services"].items() if "ports" in told}
    assert set(published) == {"proxy", "prometheus"}
    assert all("127.0.0.1" in port for ports in published.values() for port in ports)


def test_who_shares_a_network():
    shared = {}
    for name, told in BASE["services"].items():
        for network in told.get("networks", ()):
            shared.setdefault(network, set()).add(name)
    gateways = {"gateway-1", "gateway-2"}
    assert shared == {
        "public": {"proxy"},
        "front": {"proxy", "cli", *gateways},
        "agents": {"proxy", "agent"},
        "services": {"generator", "filter", *gateways},
        "database": {"postgres", "first-key", *gateways},
        "broker": {"redis", *gateways},
        "messages": {"redis", "agent"},
        "metrics": {"prometheus", *gateways},
        "monitoring": {"prometheus"},
        "models": {"generator"},
        "webhooks": gateways,
    }
    leads_outside = {name for name, told in BASE["networks"].items() if not told.get("internal")}
    assert leads_outside == {"public", "monitoring", "models", "webhooks"}


def test_a_trainer_is_reached_by_its_agent_alone_and_holds_no_secret_that_opens_anything():
    told = read("compose.training.yaml")
    services = told["services"]
    assert {name for name, one in services.items() if "training" in one.get("networks", ())} == {
        "trainer",
        "agent-training",
    }
    assert told["networks"]["training"] == {"internal": True}
    assert services["trainer"]["secrets"] == ["service_token_sha256"]
    for name in ("trainer", "agent-training"):
        assert services[name]["read_only"], name
        assert services[name]["cap_drop"] == ["ALL"], name
    for name in ("gateway-1", "gateway-2"):
        assert services[name]["environment"] == {"DELTANAS_FINE_TUNE_AGENTS": "true"}


def test_the_debian_override_replaces_every_image_that_is_not_ours():
    foreign = {name for name, told in BASE["services"].items() if "DELTANAS_IMAGE" not in told["image"]}
    assert set(read("compose.debian.yaml")["services"]) == foreign


def test_secrets_are_drawn_once_and_nobody_else_passes_their_folder(tmp_path):
    folder = tmp_path / "secrets"
    for _ in range(2):
        subprocess.run([DEPLOY / "make-secrets.sh", folder], check=True, capture_output=True)
        drawn = {file.name: file.read_text() for file in folder.iterdir()}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert drawn.keys() - {"redis_password"} == BASE["secrets"].keys()
    assert len({drawn[name] for name in SECRETS}) == len(SECRETS)
    assert drawn["service_token_sha256"] == token_digest(drawn["service_token"])
    assert drawn["metrics_token_sha256"] == token_digest(drawn["deltanas_metrics_token"])
    assert f":{drawn['postgres_password']}@postgres/" in drawn["database_url"]
    assert f"requirepass {drawn['redis_password']}\n" in drawn["redis_conf"]
    before = dict(drawn)
    subprocess.run([DEPLOY / "make-secrets.sh", folder], check=True, capture_output=True)
    assert {file.name: file.read_text() for file in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["DELTANAS_SERVICE_TOKEN", "DELTANAS_LLM_API_KEY_MINE"])
def test_a_secret_comes_from_a_file_into_the_environment_of_the_command(name):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # it is not root who comes by
        secret, stand_in = Path(folder, "secret"), Path(folder, "tini")
        secret.write_text('it\'s $(a) "secret"\n')
        stand_in.write_text('#!/bin/sh\nshift\nexec "$@"\n')
        stand_in.chmod(0o755)
        shutil.copy(DEPLOY / "images/deltanas-entry", folder)
        become = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        command = [*(become if os.geteuid() == 0 else ()), f"{folder}/deltanas-entry", "env"]
        environment = {"PATH": f"{folder}:{os.environ['PATH']}", f"{name}_FILE": str(secret)}
        said = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert f'{name}=it\'s $(a) "secret"' in said.stdout.splitlines()
    assert f"{name}_FILE" not in said.stdout


def test_a_secret_that_cannot_be_read_is_named(tmp_path):
    environment = {"PATH": os.environ["PATH"], "DELTANAS_SERVICE_TOKEN_FILE": str(tmp_path / "none")}
    entry = DEPLOY / "images/deltanas-entry"
    said = subprocess.run([entry, "true"], env=environment, capture_output=True, text=True)
    assert said.returncode == 2
    assert "DELTANAS_SERVICE_TOKEN_FILE" in said.stderr
