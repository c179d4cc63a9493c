"""A search whose model learns: the real generator trains a tiny random model on real elites, and asks it.

What such a model says is no delta, so the proposals that count are the mutation proposer's.
"""

import hashlib
import io
import tarfile
from dataclasses import replace
from types import SimpleNamespace

import pytest
from search_family import TOKEN, Family
from tiny_llama import write_tiny_llama

from contracts.proposals import ProposalRequest
from gateway.domain.fine_tune_plan import EliteDeltas, FineTunePlan
from gateway.domain.fine_tuning import EliteSource, FineTuneRequest
from gateway.domain.search import ProposerChoice
from gateway.infra.baseline_catalogue import BaselineCatalogue
from gateway.infra.events import read_events
from gateway.infra.fine_tune_attempts import FineTuneAttempts
from gateway.infra.fine_tune_client import FineTuneClient
from gateway.infra.fine_tunes import FineTuneStore, fine_tune_topic
from gateway.infra.generator_client import GeneratorClient
from gateway.infra.training_hosts import TrainingHosts
from gateway.loop.fine_tune_conductor import FineTuneConductor
from gateway.loop.one_at_a_time import OneAtATime

pytestmark = [pytest.mark.slow, pytest.mark.full, pytest.mark.timeout(900)]

SETTINGS = {
    "preset": "cpu",
    "rank": 4,
    "learning_rate": 0.01,
    "epochs": 4,
    "max_steps": 12,
    "max_length": 2048,
    "evaluate_every": 4,
    "validation_share": 0.3,
    "checkpoint_seconds": 0,
}
SEARCH = {
    "cycles": 2,
    "candidates_per_cycle": 6,
    "seed": 5,
    "final_seeds": 2,
    "elites": 8,
    "proposer": ProposerChoice("local_llm", {"model": "tiny", "max_tokens": 16, "repairs": 0}),
    "fine_tune": FineTunePlan(settings=SETTINGS, deltas=EliteDeltas.ALL),
}


class AskingBoth(GeneratorClient):
    """Asks the local model for the first slot, keeps what it said, and lets mutations fill all of them."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.said: dict[int, set[str | None]] = {}
        """By cycle, the adapters that the model answered with."""

    def propose(self, request: ProposalRequest):
        for own in super().propose(replace(request, slots=request.slots[:1])):
            if own is not None:
                self.said.setdefault(request.cycle, set()).update(call.adapter for call in own.calls)
        yield from super().propose(replace(request, proposer="mutation", options={}, adapter=None))


@pytest.fixture
def family(tmp_path):
    home = tmp_path / "family"
    family = Family(home, {"OMP_NUM_THREADS": "1", "DELTANAS_FINE_TUNE_THREADS": "1"})
    services = family.services
    services.generator.close()
    services.generator = AskingBoth(family.addresses["generator"], TOKEN)
    services.fine_tuning = FineTuneClient(family.addresses["generator"], TOKEN)
    services.fine_tunes = FineTuneStore(family.database)
    services.fine_tune_attempts = FineTuneAttempts(family.database, lease_seconds=15)
    services.training_hosts = TrainingHosts(family.database)
    services.baselines = BaselineCatalogue(family.database)
    services.pair_makings = OneAtATime()
    services.settings = SimpleNamespace(home=home, fine_tune_agents=False)
    family.wait_for(lambda: not services.generator.readiness_problems(), 120)
    write_tiny_llama(home, [network.source for network in services.generator.baselines()])
    conductor = FineTuneConductor(services)
    conductor.start()
    yield family
    conductor.stop()
    services.fine_tuning.close()
    family.close()


def test_the_next_cycle_speaks_with_what_the_elites_taught_also_after_a_kill(family):
    search_id = family.search(**SEARCH)
    services = family.services
    journal = family.journal(search_id)
    family.wait_for(lambda: any((job.progress or {}).get("step") for job in journal.fine_tunes()), 300)
    family.kill("generator")
    family.restart_conductor()
    family.start("generator")
    document = family.finished(search_id, 300)
    assert document["state"] == "succeeded", document["failure"]
    (job,) = journal.fine_tunes()
    assert job.state == "succeeded", job.failure
    assert job.chats["elite"] >= 2
    assert job.result.validation_loss_after < job.result.validation_loss_before
    assert job.result.use == job.id
    cycles = services.searches.cycles(search_id)
    assert [cycle["adapter"] for cycle in cycles] == [None, None, job.id]
    assert services.generator.said == {1: {None}, 2: {job.id}}
    kinds = [event.type for event in read_events(family.database, fine_tune_topic(job.id), 0)]
    assert kinds.count("finished") == 1
    assert {"chats", "step", "validated"} <= set(kinds)
    _require_whole(services.fine_tuning, job.id)
    _require_nothing_left(family, search_id)


def _require_nothing_left(family, search_id) -> None:
    """Of a job that was cancelled while it was trained."""
    services = family.services
    request = FineTuneRequest("tiny", None, dict(SETTINGS), EliteSource(search_id, 2))
    with family.database.write() as session:
        job_id = services.fine_tunes.create(session, "local", request).id
    family.wait_for(lambda: services.fine_tuning.status(job_id) is not None, 60)
    services.fine_tunes.cancel(job_id, "local")
    family.wait_for(lambda: services.fine_tuning.status(job_id) is None, 120)
    assert job_id not in {adapter.id for adapter in services.fine_tuning.adapters()}
    assert services.fine_tunes.read(job_id, "local").state == "cancelled"


def _require_whole(client: FineTuneClient, adapter: str) -> None:
    """Its files are there, and are those of its manifest."""
    manifest = client.adapter(adapter)
    assert manifest.base_model == "tiny"
    content = b"".join(client.adapter_files(adapter))
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for file in manifest.files:
            found = tar.extractfile(f"{adapter}/{file.name}").read()
            assert hashlib.sha256(found).hexdigest() == file.sha256
        assert f"{adapter}/adapter_config.json" in tar.getnames()
