"""Who sees the keys of language models, and the way to their endpoints."""

import pytest

from deltanas.services import services_of_one_machine

SECRET = "sk-0123456789abcdef"


@pytest.mark.parametrize(
    "name",
    [
        "DELTANAS_LLM_BASE_URL",
        "DELTANAS_LLM_MODEL",
        "DELTANAS_LLM_API_KEY",
        "DELTANAS_LLM_ENDPOINTS",
        "DELTANAS_LLM_API_KEY_OPEN_AI",
        "HTTPS_PROXY",
        "no_proxy",
        "SSL_CERT_FILE",
    ],
)
def test_generator_alone_sees_what_leads_to_language_models(name, tmp_path, monkeypatch):
    monkeypatch.setenv(name, SECRET)
    services = services_of_one_machine(tmp_path, tmp_path / "run", "http://127.0.0.1:8000")
    assert [service.name for service in services if SECRET in service.environment.values()] == ["generator"]
    assert all(SECRET not in " ".join(service.argv) for service in services)


def test_no_service_sees_keys_of_other_programs(tmp_path, monkeypatch):
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "DELTANAS_LLM", "MY_DELTANAS_LLM_API_KEY_X"):
        monkeypatch.setenv(name, SECRET)
    services = services_of_one_machine(tmp_path, tmp_path / "run", "http://127.0.0.1:8000")
    assert all(SECRET not in service.environment.values() for service in services)
