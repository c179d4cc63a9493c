"""Models and adapters that cannot be used are refused before anything starts, and told why."""

import json
from pathlib import Path

import pytest
from local_model_program import OBEDIENT, ask, held_up
from model_folders import write_adapter_folder

from generator_svc.language_models.local import models as local_models
from generator_svc.language_models.model_store import MANIFEST


def test_an_unknown_model_is_told_with_the_known_ones(models):
    blocked = held_up(models(OBEDIENT), name="large")
    assert (blocked.code, blocked.retryable) == ("model_unknown", False)
    assert "small" in blocked.message
    assert "deltanas models add" in blocked.remedy


def test_a_damaged_model_is_not_loadable(models, tmp_path):
    used = models(OBEDIENT)
    (tmp_path / "models" / "small" / MANIFEST).write_text("{}")
    assert held_up(used).code == "model_not_loadable"


def change_manifest(home: Path, **changes) -> None:
    path = home / "models" / "small" / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_model_larger_than_the_memory_is_refused_before_anything_starts(models, tmp_path):
    used = models(OBEDIENT)
    change_manifest(tmp_path, parameters=10**15)
    blocked = held_up(used)
    assert (blocked.code, blocked.retryable) == ("out_of_memory", False)
    assert not (tmp_path / "models" / "small" / "starts").exists()


def test_memory_that_others_use_just_now_is_waited_for(models, tmp_path, monkeypatch):
    monkeypatch.setattr("generator_svc.language_models.local.models.free_memory", lambda: 1024)
    blocked = held_up(models(OBEDIENT))
    assert (blocked.code, blocked.retryable) == ("out_of_memory", True)
    assert blocked.retry_after_seconds


def test_memory_that_a_fine_tune_is_about_to_take_is_left_free(models, tmp_path, monkeypatch):
    used = models(OBEDIENT)
    needed = local_models.memory_needed(used.find("small", None))
    monkeypatch.setattr(local_models, "free_memory", lambda: 2 * needed)
    claimed = [needed + 1, needed]
    used.leave_free(lambda: claimed.pop(0))
    blocked = held_up(used)
    assert (blocked.code, blocked.retryable) == ("out_of_memory", True)
    assert "fine-tune" in blocked.message
    assert len(ask(used)) == 2


def test_four_bits_without_the_library_are_refused_by_its_name(models, tmp_path, monkeypatch):
    monkeypatch.setattr(local_models, "find_spec", lambda name: name != "bitsandbytes" or None)
    used = models(OBEDIENT)
    change_manifest(tmp_path, load_in_4bit=True)
    blocked = held_up(used)
    assert blocked.code == "model_not_loadable"
    assert "bitsandbytes" in blocked.message
    assert "deltanas[nf4]" in blocked.remedy


def test_an_adapter_that_fits_is_asked_for_by_its_id(models, tmp_path):
    used = models(OBEDIENT)
    write_adapter_folder(tmp_path, "a1", used.find("small", None))
    used.model("small", "a1").check()
    assert ask(used, adapter="a1")[0].adapter == "a1"


@pytest.mark.parametrize("adapter", ["absent", "../models/small", "", "x" * 200])
def test_an_unknown_adapter_is_refused(models, adapter):
    assert held_up(models(OBEDIENT), adapter=adapter).code == "adapter_unknown"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"width": 32}, "takes 16 numbers"),
        ({"base_model_name_or_path": "somebody/else"}, "somebody/else"),
        ({"peft_type": "PREFIX_TUNING"}, "LoRA alone"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"megatron_config": {"core": "os"}}, "megatron_config"),
        ({"use_dora": True}, "use_dora"),
    ],
)
def test_an_adapter_of_another_kind_or_model_is_refused(models, tmp_path, options, why):
    used = models(OBEDIENT)
    write_adapter_folder(tmp_path, "a1", used.find("small", None), **options)
    blocked = held_up(used, adapter="a1")
    assert (blocked.code, blocked.retryable) == ("adapter_mismatch", False)
    assert why in blocked.message


def test_the_digest_of_an_adapters_base_decides(models, tmp_path):
    used = models(OBEDIENT)
    base = used.find("small", None)
    folder = write_adapter_folder(tmp_path, "a1", base, base_model_name_or_path="/tmp/where/it/was/trained")
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({"base_weights_sha256": base.manifest.weights_sha256}))
    used.model("small", "a1").check()
    manifest.write_text(json.dumps({"base_weights_sha256": "0" * 64}))
    assert held_up(used, adapter="a1").code == "adapter_mismatch"
