"""Real trainings of a tiny random Llama: what is learnt, what a kill changes (nothing), what comes out."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from processes import is_running, until
from sample_chats import body, chat
from tiny_llama import write_tiny_llama

from generator_svc.fine_tuning import trainer_process
from generator_svc.fine_tuning.adapters import AdapterStore
from generator_svc.fine_tuning.desk import FineTuneDesk
from generator_svc.fine_tuning.intake import Intake
from generator_svc.fine_tuning.job_folder import JobFolder
from generator_svc.fine_tuning.journal import JournalReader
from generator_svc.fine_tuning.limits import FineTuneLimits
from generator_svc.fine_tuning.trainer.failing import TrainingFailed
from generator_svc.fine_tuning.trainer.reporting import Reporter
from generator_svc.language_models.local.adapter_files import find_adapter
from generator_svc.language_models.model_store import ModelStore

pytestmark = pytest.mark.slow

TRAIN = [("train", chat(width)) for width in range(33, 53)]
VALIDATION = [("validation", chat(width)) for width in (60, 61, 62)]
QUICK = {
    "model": "tiny",
    "rank": 4,
    "learning_rate": 0.01,
    "max_length": 2048,
    "dropout": 0.1,
    "batch": 2,
    "epochs": 3,
    "max_steps": None,
    "evaluate_every": 5,
    "checkpoint_seconds": 0,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other wherever others compute, too
    home = tmp_path_factory.mktemp("base")
    texts = [message.content for _, messages in TRAIN + VALIDATION for message in messages]
    write_tiny_llama(home, texts)
    write_tiny_llama(home, texts, "other", seed=1)
    write_tiny_llama(home, texts, "even", width=64)  # bitsandbytes on a CPU wants multiples of 64
    (write_tiny_llama(home, texts, "damaged") / "model.safetensors").write_bytes(b"no weights")
    yield home / "models"
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def home(tmp_path, base):
    (tmp_path / "models").symlink_to(base)
    return tmp_path


@contextmanager
def desk_of(home, **limits):
    desk = FineTuneDesk(home, FineTuneLimits(threads=1, **limits))
    desk.start()
    try:
        yield desk
    finally:
        desk.stop()


def send(desk, job, content):
    with desk.intake() as intake:
        intake.write(content)
        return desk.accept(job, intake)


def trained(home, job, content, **limits):
    with desk_of(home, **limits) as desk:
        send(desk, job, content)
        return until(lambda: over(desk, job), 240, lambda: told(home, job))


def over(desk, job):
    status = desk.status(job)
    return status if status.state.is_terminal else None


def told(home, job):
    folder = home / "fine-tunes" / job
    return (folder / "journal.jsonl").read_text()[-2000:] + (folder / "trainer.log").read_text()[-2000:]


def losses(home, job):
    """The last loss told of each step and validation: a step that was done twice is told twice."""
    events = list(JournalReader(home / "fine-tunes" / job / "journal.jsonl").new_events())
    return {
        (event.kind, event.data["step"]): event.data["loss"]
        for event in events
        if event.kind in {"step", "validated"}
    }


def weights(home, job):
    return (home / "adapters" / job / "adapter_model.safetensors").read_bytes()


def test_training_lowers_the_loss_and_the_adapter_loads_into_peft_as_it_is(home):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    status = trained(home, "whole", body(QUICK, *TRAIN, *VALIDATION))
    assert (status.state, status.failure) == ("succeeded", None)
    assert (status.step, status.steps, status.chats.train) == (15, 15, 20)
    assert status.result.adopted
    assert status.result.use == "whole"
    assert status.result.validation_loss_after < status.result.validation_loss_before - 0.2
    config = json.loads((home / "adapters" / "whole" / "adapter_config.json").read_bytes())
    assert (config["peft_type"], config["r"], config["base_model_name_or_path"]) == ("LORA", 4, "tiny")
    manifest = json.loads((home / "adapters" / "whole" / "manifest.json").read_bytes())
    base_manifest = json.loads((home / "models" / "tiny" / "manifest.json").read_bytes())
    assert manifest["base_weights_sha256"] == base_manifest["weights_sha256"]
    assert manifest["data_sha256"] == status.data_sha256
    model = AutoModelForCausalLM.from_pretrained(home / "models" / "tiny")
    tokens = torch.tensor([[5, 6, 7, 8]])
    before = model(tokens).logits.detach()
    adapted = PeftModel.from_pretrained(model, home / "adapters" / "whole")
    assert (adapted(tokens).logits - before).abs().max() > 0.01
    find_adapter(home, "whole", ModelStore(home).read("tiny"))  # or it raises AdapterMismatch
    assert not (home / "fine-tunes" / "whole" / "checkpoints").exists()


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_training_that_was_killed_ends_as_one_that_was_not(home, monkeypatch):
    content = body(QUICK | {"epochs": 20, "patience": 0, "evaluate_every": 20}, *TRAIN, *VALIDATION)
    train_here(home, "calm", content)
    trainers = []

    class Watched(trainer_process.TrainerProcess):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            trainers.append(self.pid)

    monkeypatch.setattr("generator_svc.fine_tuning.training_run.TrainerProcess", Watched)
    with desk_of(home) as desk:
        send(desk, "killed", content)
        until(lambda: desk.status("killed").step >= 2, 240, lambda: told(home, "killed"))
        os.kill(trainers[-1], signal.SIGKILL)
        until(lambda: desk.status("killed").step >= 7, 240, lambda: told(home, "killed"))
    assert not is_running(trainers[-1])
    assert desk.status("killed").state == "running"
    with desk_of(home) as desk:  # as after a restart of the service, which ends its trainer
        status = until(lambda: over(desk, "killed"), 240, lambda: told(home, "killed"))
    assert (status.state, status.trainer_starts) == ("succeeded", 3)
    assert losses(home, "killed") == losses(home, "calm")
    assert weights(home, "killed") == weights(home, "calm")
    kinds = [event.kind for event in JournalReader(home / "fine-tunes/killed/journal.jsonl").new_events()]
    assert kinds.count("resumed") == 2


@pytest.mark.timeout(900)
def test_a_trainer_whose_service_was_killed_ends_and_the_next_service_goes_on(home):
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from generator_svc.fine_tuning.desk import FineTuneDesk\n"
        "from generator_svc.fine_tuning.limits import FineTuneLimits\n"
        "desk = FineTuneDesk(Path(sys.argv[1]), FineTuneLimits(threads=1))\n"
        "desk.start()\n"
        "time.sleep(600)\n"
    )
    with desk_of(home) as desk:
        desk.stop()
        send(desk, "orphan", body(QUICK | {"epochs": 60}, *TRAIN, *VALIDATION))
    service = subprocess.Popen([sys.executable, "-c", program, str(home)])
    journal = home / "fine-tunes" / "orphan" / "journal.jsonl"
    try:
        until(lambda: b'"checkpoint"' in journal.read_bytes(), 240, lambda: told(home, "orphan"))
    finally:
        service.kill()
        service.wait()
    until(lambda: size_rests(journal), 60, "the end of the orphaned trainer")
    with desk_of(home) as desk:
        until(lambda: b'"resumed"' in journal.read_bytes(), 120, lambda: told(home, "orphan"))
        assert desk.cancel("orphan").state == "cancelled"
    assert not (home / "adapters" / "orphan").exists()


def size_rests(path):
    before = path.stat().st_size
    time.sleep(1)
    return path.stat().st_size == before


def train_here(home, job, content, save_memory=False):
    """Without a process of its own: importing torch anew takes longer than the training."""
    from generator_svc.fine_tuning.trainer.session import Session

    with Intake(home / "fine-tunes" / ".unfinished-draft", AdapterStore(home)) as intake:
        intake.write(content)
        intake.finish(job)
        intake.folder.rename(home / "fine-tunes" / job)
    folder = JobFolder(home, job)
    with Reporter(folder, lambda _: None) as reporter:
        return Session(home, folder, reporter, save_memory).run()


def test_training_that_helps_nothing_is_rolled_back_to_the_parent(home):
    parent = train_here(home, "parent", body(QUICK, *TRAIN, *VALIDATION))
    harm = QUICK | {"parent_adapter": "parent", "learning_rate": 1.0, "schedule": "constant", "patience": 2}
    result = train_here(home, "harm", body(harm, *TRAIN, *VALIDATION))
    assert result.validation_loss_before == pytest.approx(parent.validation_loss_after)
    assert (result.adopted, result.use) == (False, "parent")
    kinds = [event.kind for event in JournalReader(home / "fine-tunes/harm/journal.jsonl").new_events()]
    assert kinds.count("step") < 15
    assert "stopped_early" in kinds
    assert weights(home, "harm") != weights(home, "parent")


def test_training_after_which_fewer_answers_apply_is_rolled_back_to_the_parent(home, monkeypatch):
    from generator_svc.fine_tuning.trainer import probing
    from generator_svc.language_models.local.weights.decoding import Written

    train_here(home, "parent", body(QUICK | {"max_steps": 2}, *TRAIN, *VALIDATION))
    asked = []

    def write(_writer, tasks, _choice, _bounds):
        """Before training what it is to learn, to the letter; afterwards prose."""
        asked.extend(tasks)
        text = VALIDATION[0][1][-1].content if len(asked) <= 12 else "I would widen it."
        return (Written(task.key, text, "stop", 1, 1, 0.1) for task in tasks)

    monkeypatch.setattr(probing.Writer, "write", write)
    worse = QUICK | {"parent_adapter": "parent", "probe": {"samples": 12}}
    result = train_here(home, "worse", body(worse, *TRAIN, VALIDATION[0]))
    assert len(asked) == 24
    assert result.validation_loss_after < result.validation_loss_before
    assert (result.valid_rate_before, result.valid_rate_after) == (1.0, 0.0)
    assert (result.adopted, result.use) == (False, "parent")
    assert "0%" in result.reason
    assert AdapterStore(home).manifest("worse").result == result


def test_on_a_base_in_4_bits_the_loss_falls_too_and_the_manifest_tells_it(home):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install 'deltanas[nf4]'")
    probe = {"samples": 1, "max_tokens": 4}
    asked = QUICK | {"model": "even", "quantization": "nf4", "probe": probe}
    result = train_here(home, "small", body(asked, *TRAIN, *VALIDATION))
    assert result.adopted
    assert result.validation_loss_after < result.validation_loss_before - 0.2
    assert AdapterStore(home).manifest("small").base_loaded_in == "nf4"
    find_adapter(home, "small", ModelStore(home).read("even"))  # or it raises AdapterMismatch


def test_without_bitsandbytes_nf4_is_refused_and_auto_says_what_it_does_instead(home, monkeypatch):
    from generator_svc.fine_tuning.trainer import base_model

    monkeypatch.setattr(base_model, "find_spec", lambda _: None)
    asked = QUICK | {"max_steps": 1}
    with pytest.raises(TrainingFailed) as failed:
        train_here(home, "asked", body(asked | {"quantization": "nf4"}, *TRAIN, *VALIDATION))
    assert failed.value.failure.reason == "libraries_missing"
    assert "deltanas[nf4]" in failed.value.failure.remedy
    train_here(home, "auto", body(asked | {"quantization": "auto"}, *TRAIN, *VALIDATION))
    (loaded,) = [
        event.data
        for event in JournalReader(home / "fine-tunes/auto/journal.jsonl").new_events()
        if event.kind == "loaded"
    ]
    assert loaded["base_loaded_in"] == AdapterStore(home).manifest("auto").base_loaded_in != "nf4"
    assert "bitsandbytes is not installed" in loaded["why"]


def test_saving_memory_changes_no_loss(home):
    content = body(QUICK | {"max_steps": 4, "probe": {"samples": 2, "max_tokens": 8}}, *TRAIN, *VALIDATION)
    plain = train_here(home, "plain", content)
    saving = train_here(home, "saving", content, save_memory=True)
    assert losses(home, "plain") == pytest.approx(losses(home, "saving"), rel=1e-3)
    assert (plain.valid_rate_before, saving.valid_rate_after) == (0.0, 0.0)


@pytest.mark.parametrize("temperature", [0, 0.8])
def test_a_probe_is_answered_as_a_proposer_answers(home, temperature):
    probe = {"samples": 6, "max_tokens": 8, "temperature": temperature, "top_k": 0}
    content = body(QUICK | {"max_steps": 1, "probe": probe}, *TRAIN, *VALIDATION)
    result = train_here(home, f"probed-{temperature}", content)
    assert (result.valid_rate_before, result.valid_rate_after) == (0.0, 0.0)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"\x80\x04boo"),
        lambda folder: cut_off(folder / "adapter_model.safetensors"),
        lambda folder: (folder / "adapter_config.json").write_text("[" * 100_000),
    ],
)
def test_a_parent_whose_files_are_damaged_is_named(home, spoil):
    train_here(home, "parent", body(QUICK | {"max_steps": 1}, *TRAIN, *VALIDATION))
    spoil(home / "adapters" / "parent")
    with pytest.raises(TrainingFailed) as failed:
        train_here(home, "job", body(QUICK | {"parent_adapter": "parent"}, *TRAIN, *VALIDATION))
    assert failed.value.failure.reason == "adapter_mismatch"


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "absent"}, "model_unknown"),
        ({"parent_adapter": "absent"}, "adapter_unknown"),
        ({"parent_adapter": "parent", "rank": 8}, "adapter_mismatch"),
        ({"parent_adapter": "parent", "model": "other"}, "adapter_mismatch"),
        ({"targets": ["q_proj", "c_attn"]}, "adapter_mismatch"),
        ({"max_length": 64}, "no_usable_pairs"),
        ({"model": "damaged"}, "model_not_loadable"),
    ],
)
def test_what_a_job_cannot_be_trained_with_is_named(home, changes, reason):
    if changes.get("parent_adapter") == "parent":
        train_here(home, "parent", body(QUICK | {"max_steps": 1}, *TRAIN, *VALIDATION))
    with pytest.raises(TrainingFailed) as failed:
        train_here(home, "job", body(QUICK | changes, *TRAIN, *VALIDATION))
    assert failed.value.failure.reason == reason
    assert failed.value.failure.remedy
    assert not (home / "adapters" / "job").exists()
