"""The way to an endpoint: encrypted, through a proxy, and with a key that takes no other way."""

import shutil
import ssl
import subprocess

import pytest
from stand_in_endpoint import Connection, StandInEndpoint, endless, event, head, saying, stand_in

from contracts.chats import ChatMessage
from generator_svc.held_up import HeldUp
from generator_svc.language_models import openai_compatible
from generator_svc.language_models.endpoint_models import EndpointModels
from generator_svc.language_models.endpoints import Endpoint
from generator_svc.language_models.port import ChatRequest, Sampling

KEY = "sk-0123456789abcdef"


def answer_of(base_url: str, **settings):
    endpoint = Endpoint(
        name="default", base_url=base_url, model="m", models=("m",), key=KEY, patience_seconds=0.0, **settings
    )
    request = ChatRequest(0, (ChatMessage("user", "Hello."),), 1)
    (answer,) = EndpointModels({"default": endpoint}).choose().answers([request], Sampling())
    return answer


@pytest.fixture
def certificate(tmp_path, monkeypatch):
    """A file with a certificate of `localhost` and one with its key; nobody trusts it yet."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True)
    openai_compatible._certificates.cache_clear()
    yield certificate, key
    openai_compatible._certificates.cache_clear()


@pytest.fixture
def encrypted(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    class Encrypted(StandInEndpoint):
        def _serve(self, came):
            try:
                wrapped = context.wrap_socket(came, server_side=True)
            except OSError:
                return
            super()._serve(wrapped)

    server = Encrypted()
    server.base_url = f"https://localhost:{server.port}/v1"
    yield server
    server.close()


def test_endpoint_whose_certificate_is_not_trusted_is_sent_nothing(encrypted):
    encrypted.will(saying("x"))
    with pytest.raises(HeldUp) as caught:
        answer_of(encrypted.base_url)
    blocked = caught.value.blocked
    assert (blocked.code, blocked.retryable) == ("endpoint_unreachable", False)
    assert "SSL_CERT_FILE" in blocked.remedy
    assert encrypted.heard == []


def test_certificate_of_ones_own_is_trusted_by_its_file(encrypted, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    encrypted.will(saying("over TLS"))
    assert answer_of(encrypted.base_url).text == "over TLS"


@pytest.mark.parametrize(
    "slow", [pytest.param(Connection.wait, id="silent"), pytest.param(endless(b"x", 0.05), id="dripping")]
)
def test_encrypted_connection_is_cut_in_time_as_well(encrypted, certificate, monkeypatch, slow):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    encrypted.will(slow)
    with pytest.raises(HeldUp) as caught:
        answer_of(encrypted.base_url, timeout_seconds=0.5)
    assert caught.value.blocked.code == "endpoint_unreachable"
    assert encrypted.heard[0].ended.wait(20)
    assert encrypted.heard[0].was_left


def test_encrypted_answer_that_is_cut_is_kept_as_far_as_it_came(encrypted, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    encrypted.will(endless(event("drip "), 0.05, after=head()))
    answer = answer_of(encrypted.base_url, timeout_seconds=0.5)
    assert (answer.finish_reason, answer.text[:5]) == ("timeout", "drip ")


def test_proxy_of_the_environment_is_used(monkeypatch):
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with stand_in() as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{proxy.port}")
        proxy.will(saying("by proxy"))
        assert answer_of("http://llm.invalid:8000/v1").text == "by proxy"
        assert proxy.heard[0].path == "http://llm.invalid:8000/v1/chat/completions"


def test_proxy_that_cannot_be_used_is_told_without_its_password(monkeypatch):
    monkeypatch.setenv("http_proxy", "gopher://me:secret@127.0.0.1:1")
    with pytest.raises(HeldUp) as caught:
        answer_of("http://llm.invalid:8000/v1")
    assert "HTTP_PROXY" in caught.value.blocked.message
    assert "secret" not in repr(caught.value.blocked)
