"""Long fine-tunes on a host that trains: gateway, Redis, two generators and `deltanas agent`, all real."""

import os
import signal
import subprocess
from contextlib import closing

import pytest
from farm import START_SECONDS, TOKEN, Farm, Process
from processes import descendants_of, until
from redis_server import RedisServer
from sample_chats import NETWORK, chat
from smollm2_model import smollm2_home
from tiny_llama import write_tiny_llama
from up_process import DELTANAS

from contracts.dispatch import Resource
from contracts.fine_tuning import FineTuneState
from contracts.proposals import ProposalRequest, ProposalSlot
from contracts.service_gate import token_digest
from gateway.domain.fine_tuning import FineTuneRequest, GivenPair, GivenPairs
from gateway.infra.database import Database
from gateway.infra.events import read_events
from gateway.infra.fine_tune_client import FineTuneClient
from gateway.infra.fine_tunes import FineTuneStore, fine_tune_topic
from gateway.infra.generator_client import GeneratorClient

pytestmark = [pytest.mark.slow, pytest.mark.full, pytest.mark.timeout(1500)]

PATIENCE = 900
QUICK = {
    "preset": "cpu",
    "seed": 1,
    "rank": 4,
    "learning_rate": 0.01,
    "epochs": 20,
    "max_steps": 30,
    "max_length": 2048,
    "evaluate_every": 10,
    "patience": 0,
    "validation_share": 0.2,
    "checkpoint_seconds": 0,
}
SHORT = QUICK | {"learning_rate": 0.0005, "max_steps": 3, "evaluate_every": 3, "max_length": 1152}


class TrainingFarm:
    """A gateway that lends its fine-tunes, the generator that proposes, and a host that trains."""

    def __init__(self, folder, *, with_broker):
        self.folder = folder
        self.redis = RedisServer(folder).start() if with_broker else None
        self.homes = {name: folder / name for name in ("gateway", "proposer", "host")}
        for home in self.homes.values():
            home.mkdir()
        self.generator_address = f"unix:{self.homes['proposer']}/g.sock"
        self.farm = Farm(
            self.homes["gateway"],
            self.broker_url,
            generator_address=self.generator_address,
            fine_tune_agents="true",
        )
        environment = {
            "DELTANAS_GENERATOR_ADDRESS": self.generator_address,
            "DELTANAS_SERVICE_TOKEN_SHA256": token_digest(TOKEN),
            "OMP_NUM_THREADS": "1",
        }
        self.proposer = Process("generator_svc", self.homes["proposer"], environment)
        self.host = None
        self.client = FineTuneClient(self.generator_address, TOKEN)

    @property
    def broker_url(self):
        return None if self.redis is None else self.redis.url

    def start(self, models):
        for name in ("proposer", "host"):
            (self.homes[name] / "models").symlink_to(models)
        self.proposer.start()
        self.farm.start_gateway()
        until(lambda: not self.client.readiness_problems(), START_SECONDS, self.proposer.words)
        self.start_host()

    def start_host(self):
        home = self.homes["host"]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "DELTANAS_HOME": str(home),
            "DELTANAS_SERVICE_TOKEN": TOKEN,
            **({} if self.broker_url is None else {"DELTANAS_BROKER_URL": self.broker_url}),
            "DELTANAS_AGENT_HEARTBEAT_SECONDS": "1",
            "DELTANAS_FINE_TUNE_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        words = [
            "agent",
            "--fine-tunes",
            "--gateway",
            f"unix:{self.homes['gateway']}/g.sock",
            "--id",
            "gpu-1",
        ]
        with (self.folder / "host.log").open("ab") as log:
            self.host = subprocess.Popen([DELTANAS, *words], env=environment, stdout=log, stderr=log)

    def kill_host(self):
        """Everything of it at once, as a power cut does."""
        family = [self.host.pid, *descendants_of(self.host.pid)]
        for number in family:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.host.wait()

    def close(self):
        if self.host is not None:
            self.kill_host()
        self.proposer.kill()
        self.farm.close()
        if self.redis is not None:
            self.redis.end()
        self.client.close()

    def words(self):
        logs = [self.folder / "host.log", *sorted((self.homes["host"] / "logs").glob("*.log"))]
        said = "".join(f"\n{log.name}: {log.read_text()[-1500:]}" for log in logs if log.exists())
        return said + self.farm.gateway.words()[-1500:]


@pytest.fixture
def training(tmp_path, request):
    farm = TrainingFarm(tmp_path, with_broker=getattr(request, "param", True))
    yield farm
    farm.close()


def start_job(database, model, settings, widths, parent=None):
    pairs = [GivenPair("cifar-10", NETWORK, NETWORK.replace("32", str(width)), 0.5) for width in widths]
    given = GivenPairs(len(pairs), "")
    with database.write() as session:
        request = FineTuneRequest(model, parent, settings, given=given)
        return FineTuneStore(database).create(session, "local", request, pairs).id


def kinds(database, job_id):
    return [event.type for event in read_events(database, fine_tune_topic(job_id), 0)]


def ended(database, job_id):
    record = FineTuneStore(database).read(job_id, "local")
    return record if record.state.is_terminal else None


def proposes_with(training, model, adapter):
    """Which adapter answered when the generator that proposes was asked to speak with this one."""
    request = ProposalRequest(
        search_id="se_1",
        cycle=1,
        proposer="local_llm",
        dataset="cifar-10",
        slots=(ProposalSlot(0, 7, NETWORK, "oak", 0.5),),
        options={"model": model, "max_tokens": 16, "repairs": 0},
        adapter=adapter,
    )
    with closing(GeneratorClient(training.generator_address, TOKEN)) as generator:
        (proposal,) = [one for one in generator.propose(request) if one is not None]
    return {call.adapter for call in proposal.calls}


def test_a_job_outlives_its_host_goes_on_from_its_checkpoint_and_is_proposed_with(training, tmp_path):
    texts = [message.content for width in range(33, 43) for message in chat(width)]
    write_tiny_llama(tmp_path / "store", texts)
    training.start(tmp_path / "store" / "models")
    with closing(Database(f"sqlite:///{training.homes['gateway']}/gateway.sqlite3")) as database:
        job_id = start_job(database, "tiny", QUICK, range(33, 43))
        until(lambda: "checkpoint" in kinds(database, job_id), PATIENCE, training.words)
        training.kill_host()
        until(lambda: "host_lost" in kinds(database, job_id), PATIENCE, training.words)
        training.start_host()
        record = until(lambda: ended(database, job_id), PATIENCE, training.words)
        assert record.state is FineTuneState.SUCCEEDED, record.failure
        told = kinds(database, job_id)
        assert told.count("claimed") == 2
        assert "resumed" in told[told.index("host_lost") :]
        assert told.count("finished") == 1
        assert record.result.validation_loss_after < record.result.validation_loss_before
        assert training.client.adapter(job_id).base_model == "tiny"
        assert proposes_with(training, "tiny", job_id) == {job_id}

        cancelled = start_job(database, "tiny", QUICK | {"max_steps": 100_000, "epochs": 1000}, range(33, 43))
        until(lambda: "step" in kinds(database, cancelled), PATIENCE, training.words)
        assert training.farm.http.delete(f"/v1/fine-tunes/{cancelled}").status_code < 300
        for name in ("host", "proposer"):
            jobs = training.homes[name] / "fine-tunes"
            until(lambda jobs=jobs: not list(jobs.glob("ft_*")), PATIENCE, training.words)
        assert not list((training.homes["host"] / "adapters").glob("ft_*"))
        assert [path.name for path in (training.homes["proposer"] / "adapters").glob("ft_*")] == [job_id]
    with training.redis.client() as redis:
        assert redis.llen(Resource.FINE_TUNE.value) == 0
    training.host.send_signal(signal.SIGTERM)
    assert training.host.wait(START_SECONDS) == 0


@pytest.mark.parametrize("training", [False], ids=["without a broker"], indirect=True)
def test_a_job_goes_on_from_the_adapter_of_another_on_a_host_that_asks_the_gateway(training, tmp_path):
    texts = [message.content for width in range(33, 43) for message in chat(width)]
    write_tiny_llama(tmp_path / "store", texts)
    training.start(tmp_path / "store" / "models")
    with closing(Database(f"sqlite:///{training.homes['gateway']}/gateway.sqlite3")) as database:
        parent = start_job(database, "tiny", QUICK | {"max_steps": 6}, range(33, 43))
        assert until(lambda: ended(database, parent), PATIENCE, training.words).state == "succeeded"
        kept = training.homes["host"] / "adapters"
        until(lambda: not list(kept.glob("ft_*")), PATIENCE, training.words)
        child = start_job(database, "tiny", QUICK | {"max_steps": 6}, range(43, 53), parent)
        record = until(lambda: ended(database, child), PATIENCE, training.words)
        assert record.state is FineTuneState.SUCCEEDED, record.failure
        assert training.client.adapter(child).parent_adapter == parent
        until(lambda: not list(kept.glob("ft_*")), PATIENCE, training.words)
        assert {adapter.id for adapter in training.client.adapters()} == {parent, child}


def test_smollm2_is_trained_on_a_host_and_proposes_with_what_it_learnt_there(training):
    training.start(smollm2_home() / "models")
    with closing(Database(f"sqlite:///{training.homes['gateway']}/gateway.sqlite3")) as database:
        job_id = start_job(database, "smollm2", SHORT, range(33, 43))
        record = until(lambda: ended(database, job_id), PATIENCE, training.words)
        assert record.state is FineTuneState.SUCCEEDED, record.failure
        assert record.progress["tokens_per_second"] > 0
        assert record.result.validation_loss_after < record.result.validation_loss_before
        assert proposes_with(training, "smollm2", job_id) == {job_id}
