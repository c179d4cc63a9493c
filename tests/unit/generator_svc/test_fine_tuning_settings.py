"""Settings come from a preset, and every one that is given is checked by name."""

import pytest

from contracts.fine_tuning import FineTunePreset, ValidRateProbe
from generator_svc.fine_tuning.settings import CPU, LLAMA_LAYERS, PAPER, complete_settings
from generator_svc.request_checks import Refused


def test_the_preset_paper_is_what_the_paper_trains_with():
    settings = complete_settings({"model": "qwen", "preset": "paper"})
    assert (settings.rank, settings.alpha, settings.dropout) == (32, 32, 0.05)
    assert (settings.learning_rate, settings.weight_decay, settings.epochs) == (1e-5, 0.01, 3)
    assert (settings.batch, settings.accumulation, settings.schedule) == (1, 8, "cosine")
    assert settings.targets == LLAMA_LAYERS
    assert settings.max_steps is None
    assert settings.quantization == "auto"


def test_paper_probes_answers_before_and_after_and_can_be_told_not_to():
    assert complete_settings({"model": "m", "preset": "paper"}).probe == ValidRateProbe(samples=32)
    assert complete_settings({"model": "m", "preset": "paper", "probe": {"samples": 0}}).probe.samples == 0
    assert complete_settings({"model": "m"}).probe is None


def test_without_a_preset_a_job_fits_two_cores_and_null_is_as_good_as_left_out():
    settings = complete_settings({"model": "qwen", "rank": None, "preset": None})
    assert (settings.preset, settings.rank, settings.max_length) == (FineTunePreset.CPU, 16, 1152)
    assert settings.quantization == "none"
    assert settings == complete_settings({"model": "qwen"})
    assert CPU.learning_rate > 10 * PAPER.learning_rate


def test_what_is_given_goes_before_the_preset():
    settings = complete_settings(
        {"model": "m", "rank": 4, "targets": ["q_proj"], "probe": {"samples": 8}, "parent_adapter": "a-1"}
    )
    assert (settings.rank, settings.targets, settings.parent_adapter) == (4, ("q_proj",), "a-1")
    assert settings.probe == ValidRateProbe(samples=8)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rank": 0}, "rank"),
        ({"rank": "many"}, "rank"),
        ({"lora_r": 8}, "lora_r"),
        ({"preset": "fast"}, "preset"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"seed": -1}, "seed"),
        ({"model": "../../etc"}, "model"),
        ({"model": ""}, "model"),
        ({"parent_adapter": "../x"}, "parent_adapter"),
        ({"targets": []}, "targets"),
        ({"targets": ["q_proj", "a b"]}, "targets.1"),
        ({"probe": {"samples": -1}}, "probe.samples"),
        ({"quantization": "int8"}, "quantization"),
        ({"probe": {"samples": 1, "words": 2}}, "probe.words"),
        ({"schedule": "steps"}, "schedule"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(changes, field):
    with pytest.raises(Refused) as refused:
        complete_settings({"model": "m", **changes})
    assert (refused.value.document["status"], refused.value.document["field"]) == (422, field)
