"""Where a model is put, and in which numbers it computes there."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from generator_svc.language_models.local.weights import loading  # noqa: E402


@pytest.mark.parametrize(
    ("gpu", "gpu_knows_bfloat16", "processor_does", "device", "dtype"),
    [
        (True, True, False, "cuda", "bfloat16"),
        (True, False, True, "cuda", "float16"),
        (False, False, True, "cpu", "bfloat16"),
        (False, False, False, "cpu", "float32"),
    ],
)
def test_a_model_computes_in_the_numbers_that_its_device_is_fast_at(
    monkeypatch, gpu, gpu_knows_bfloat16, processor_does, device, dtype
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: gpu_knows_bfloat16)
    monkeypatch.setattr(loading, "processor_knows_bfloat16", lambda: processor_does)
    assert loading.choose_device() == (device, getattr(torch, dtype))
