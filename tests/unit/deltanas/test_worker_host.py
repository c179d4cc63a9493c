"""Which processes one host of a farm has, and what each may know."""

from pathlib import Path

import pytest

from contracts.dispatch import Resource
from contracts.service_gate import token_digest
from deltanas.cli import main
from deltanas.home import Home
from deltanas.worker_host import HostPlan, HostTaken, WorkerHost, services_of_a_host

TOKEN = "the family's own token"
PASSWORD = "s3cret-of-the-broker"
BROKER = f"redis://:{PASSWORD}@broker.example:6379/0"
GATEWAY = "http://gateway.example:8000"
UUIDS = ("GPU-00000000-aaaa", "GPU-11111111-bbbb")


def plan(**fields):
    usual = {
        "gateway_address": GATEWAY,
        "service_token": TOKEN,
        "broker_url": BROKER,
        "agent_id": None,
        "slots": 3,
        "lends_cpu": True,
        "gpus": (),
        "runner_address": None,
        "drain_seconds": 60.0,
    }
    return HostPlan(**{**usual, **fields})


def services(**fields):
    below, agents = services_of_a_host(plan(**fields), Path("/home"), Path("/run/x"))
    return {service.name: service for service in below}, {service.name: service for service in agents}


def test_the_agent_alone_knows_gateway_broker_and_token(monkeypatch):
    for name, value in {"DELTANAS_BROKER_URL": BROKER, "DELTANAS_GATEWAY_ADDRESS": GATEWAY}.items():
        monkeypatch.setenv(name, value)
    below, agents = services(gpus=UUIDS)
    assert sorted(below) == ["launcher", "runner-cpu", "runner-gpu"]
    for service in below.values():
        said = " ".join([*service.argv, *service.environment, *service.environment.values()])
        for secret in (TOKEN, PASSWORD, "broker.example", "gateway.example", "BROKER_URL"):
            assert secret not in said
    assert below["runner-cpu"].environment["DELTANAS_SERVICE_TOKEN_SHA256"] == token_digest(TOKEN)
    for service in agents.values():
        assert service.environment["DELTANAS_BROKER_URL"] == BROKER
        assert service.environment["DELTANAS_GATEWAY_ADDRESS"] == GATEWAY
        assert not {TOKEN, PASSWORD} & set(" ".join(service.argv).split())


def test_a_host_that_trains_has_a_generator_and_its_agent_and_runs_no_sandboxes(monkeypatch):
    monkeypatch.setenv("DELTANAS_LLM_API_KEY", "a key of an endpoint")
    monkeypatch.setenv("DELTANAS_FINE_TUNE_THREADS", "3")
    below, agents = services(trains=True, gpus=UUIDS[:1])
    (generator,), (agent,) = below.values(), agents.values()
    assert (generator.module, generator.environment["CUDA_VISIBLE_DEVICES"]) == ("generator_svc", UUIDS[0])
    assert generator.environment["DELTANAS_FINE_TUNE_THREADS"] == "3"
    said = " ".join([*generator.argv, *generator.environment, *generator.environment.values()])
    assert not [hidden for hidden in (TOKEN, PASSWORD, "a key of an endpoint") if hidden in said]
    assert agent.environment["DELTANAS_AGENT_RESOURCE"] == Resource.FINE_TUNE.value
    assert agent.environment["DELTANAS_GENERATOR_ADDRESS"] == generator.health_address
    assert agent.environment["DELTANAS_AGENT_GPUS"] == "1"
    below, agents = services(trains=True)
    assert below["generator"].environment["CUDA_VISIBLE_DEVICES"] == ""
    assert agents["agent-fine-tune"].environment["DELTANAS_AGENT_GPUS"] == "0"


def test_a_generator_that_runs_already_is_only_given_an_agent(monkeypatch):
    monkeypatch.setenv("DELTANAS_AGENT_GPUS", "2")
    below, agents = services(trains=True, generator_address="http://gpu:8001")
    assert not below
    assert agents["agent-fine-tune"].environment["DELTANAS_AGENT_GPUS"] == "2"
    assert agents["agent-fine-tune"].environment["DELTANAS_GENERATOR_ADDRESS"] == "http://gpu:8001"


def test_each_resource_has_a_runner_that_sees_its_own_devices_alone():
    below, agents = services(gpus=UUIDS)
    cpu, gpu = below["runner-cpu"].environment, below["runner-gpu"].environment
    assert (cpu["CUDA_VISIBLE_DEVICES"], cpu["DELTANAS_RUNNER_SLOTS"]) == ("", "3")
    assert (gpu["CUDA_VISIBLE_DEVICES"], gpu["DELTANAS_RUNNER_SLOTS"]) == (",".join(UUIDS), "2")
    for kind, resource in (("cpu", Resource.CPU), ("gpu", Resource.GPU)):
        environment = agents[f"agent-{kind}"].environment
        assert environment["DELTANAS_AGENT_RESOURCE"] == resource.value
        assert environment["DELTANAS_RUNNER_ADDRESS"] == f"unix:/run/x/runner-{kind}.sock"


def test_agents_of_one_host_have_names_of_their_own():
    _, both = services(gpus=UUIDS, agent_id="host-7")
    names = {name: service.environment["DELTANAS_AGENT_ID"] for name, service in both.items()}
    assert names == {"agent-cpu": "host-7-cpu", "agent-gpu": "host-7-gpu"}
    _, one = services(agent_id="host-7")
    assert one["agent-cpu"].environment["DELTANAS_AGENT_ID"] == "host-7"


def test_with_a_runner_that_runs_already_only_the_agent_is_started():
    below, agents = services(runner_address="unix:/elsewhere.sock", gpus=UUIDS, lends_cpu=False)
    assert below == {}
    assert list(agents) == ["agent-gpu"]
    assert agents["agent-gpu"].environment["DELTANAS_RUNNER_ADDRESS"] == "unix:/elsewhere.sock"


def test_without_a_broker_the_agent_is_told_of_none():
    _, agents = services(broker_url=None)
    assert "DELTANAS_BROKER_URL" not in agents["agent-cpu"].environment


def test_a_folder_serves_one_agent_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setenv("DELTANAS_HOME", str(tmp_path))
    host = WorkerHost(Home.locate(), plan(), print)
    taken = pytest.raises(HostTaken, match="another `deltanas agent`")
    with host._only_one_here(), taken, host._only_one_here():
        pass


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--broker", "amqp://me:hidden@host"], "not one of a Redis"),
        (["--broker", "pickle+redis://me:hidden@host"], "not one of a Redis"),
        (["--gpus", "many"], "neither `all` nor a number"),
        (["--gpus", "0"], "neither `all` nor a number"),
        (["--gateway", "nowhere"], "nowhere"),
        (["--runner", "unix:/r.sock", "--gpus", "1", "--slots", "1"], "one kind of slots"),
        (["--generator", "unix:/g.sock"], "--generator: trains fine-tunes"),
        (["--fine-tunes", "--slots", "2"], "--slots: is for sandboxes"),
        (["--fine-tunes", "--runner", "unix:/r.sock"], "--runner: is for sandboxes"),
        (["--fine-tunes", "--gpus", "2"], "--gpus: must be 1"),
        (["--fine-tunes", "--gpus", "1", "--generator", "unix:/g.sock"], "--gpus: is for the generator"),
        (["--fine-tunes", "--generator", "nowhere"], "nowhere"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_name(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.setenv("DELTANAS_HOME", str(tmp_path))
    monkeypatch.setenv("DELTANAS_SERVICE_TOKEN", TOKEN)
    with pytest.raises(SystemExit) as ended:
        main(["agent", *words])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert told in said.err
    assert "hidden" not in said.err + said.out


def test_without_the_service_token_the_command_says_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DELTANAS_HOME", str(tmp_path))
    monkeypatch.delenv("DELTANAS_SERVICE_TOKEN", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["agent"])
    assert ended.value.code == 2
    assert "DELTANAS_SERVICE_TOKEN: is not set" in capsys.readouterr().err
