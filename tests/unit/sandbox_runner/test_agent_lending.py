import pytest
from fakes import capabilities
from pydantic import ValidationError

from contracts.dispatch import Resource
from sandbox_runner.agent.lending import lent_by
from sandbox_runner.agent.settings import AgentSettings
from sandbox_runner.gpus import is_visible

EVERYTHING = capabilities(
    slots=8, devices=("cpu", "cuda", "cuda:0", "cuda:1"), gpu_memory_bytes=(2**34, 2**36)
)


def test_an_agent_offers_its_own_resource_alone():
    assert lent_by(None, EVERYTHING) == EVERYTHING
    cpu, gpu = lent_by(Resource.CPU, EVERYTHING), lent_by(Resource.GPU, EVERYTHING)
    assert (cpu.devices, cpu.slots) == (("cpu",), 8)
    assert (gpu.devices, gpu.slots) == (("cuda", "cuda:0", "cuda:1"), 2)
    assert (cpu.gpu_memory_bytes, gpu.gpu_memory_bytes) == ((), (2**34, 2**36))


def test_a_host_whose_gpus_have_vanished_lends_none():
    assert lent_by(Resource.GPU, capabilities(slots=8)).slots == 0


def test_an_agent_at_a_broker_lends_one_resource_and_is_called_after_it():
    token = {"service_token": "t"}
    assert AgentSettings(**token).resource is None
    assert AgentSettings(**token, broker_url="redis://host").resource is Resource.CPU
    gpus = AgentSettings(**token, broker_url="redis://host", agent_resource=Resource.GPU)
    assert gpus.resource is Resource.GPU
    assert gpus.agent_id == f"{AgentSettings(**token).agent_id}-gpu"


def test_a_brokers_address_is_never_shown():
    settings = AgentSettings(service_token="t", broker_url="redis://:hidden@host")
    assert "hidden" not in repr(settings)
    with pytest.raises(ValidationError) as refused:
        AgentSettings(service_token="t", broker_url="amqp://:hidden@host")
    assert "DELTANAS_BROKER_URL" in str(refused.value)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, [True, True]),
        ("", [False, False]),
        ("GPU-bbbb", [False, True]),
        ("GPU-bbbb-2,GPU-aaaa-1", [True, True]),
        ("0", [True, False]),
        (" 1 , 7", [False, True]),
        ("-1", [False, False]),
    ],
)
def test_a_runner_lends_the_gpus_that_are_visible_alone(visible, seen):
    assert [
        is_visible(number, uuid, visible) for number, uuid in enumerate(["GPU-aaaa-1", "GPU-bbbb-2"])
    ] == seen
