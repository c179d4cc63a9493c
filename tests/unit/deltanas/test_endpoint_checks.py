"""What `deltanas doctor` says of endpoints, asked by a real process of the generator's side."""

import json
import socket

import pytest

from deltanas.cli.endpoint_checks import endpoint_checks

KEY = "sk-0123456789abcdef"


@pytest.fixture
def checks(gateway, tmp_path, monkeypatch):
    """The checks with these variables set, by name; the gateway's stand-in is an endpoint as well."""
    home = type("Home", (), {"path": tmp_path})()

    def look(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(f"DELTANAS_LLM_{name}", value)
        return {check.name: check for check in endpoint_checks(home)}

    return look


def test_nothing_set_up_is_no_fault(checks):
    (check,) = checks().values()
    assert check.passed
    assert not check.required


def test_settings_that_cannot_be_used_are_told_in_full(checks):
    (check,) = checks(BASE_URL="http://127.0.0.1:1/v1").values()
    assert (check.passed, check.required) == (False, True)
    assert "DELTANAS_LLM_MODEL is not set" in check.found


@pytest.mark.slow
def test_each_endpoint_answers_or_is_told_with_its_remedy(checks, gateway):
    gateway.answer("GET", "/v1/models", {"data": [{"id": "small"}]})
    gateway.answer("GET", "/closed/models", {"error": f"{KEY} is no key of ours"}, status=401)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
    several = {
        "good": {"base_url": gateway.address + "/v1", "model": "small", "models": ["large"]},
        "closed": {"base_url": gateway.address + "/closed", "model": "small"},
        "away": {"base_url": nobody, "model": "small"},
    }
    found = checks(ENDPOINTS=json.dumps(several), API_KEY_CLOSED=KEY)
    assert {name: check.passed for name, check in found.items()} == {
        "endpoint good": True,
        "endpoint closed": False,
        "endpoint away": False,
    }
    assert "does not list large" in found["endpoint good"].found
    assert "key_refused" in found["endpoint closed"].found
    assert "DELTANAS_LLM_API_KEY_CLOSED" in found["endpoint closed"].remedy
    assert "endpoint_unreachable" in found["endpoint away"].found
    assert KEY not in repr(found)
