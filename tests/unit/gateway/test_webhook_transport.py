"""How a message travels: to the address that was checked, under one deadline, whatever the receiver does."""

import gzip
import socket
import ssl
import struct
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network

import pytest
import trustme
from webhook_receivers import answering, receiver, sending

from gateway.domain.webhook_targets import TargetRules
from gateway.infra.webhook_transport import (
    MAX_EXCERPT_CHARACTERS,
    MAX_RECEIVED_BYTES,
    LookupFailed,
    WebhookTransport,
    trusting,
)

HOST = "hooks.example.org"
BODY = b'{"type":"webhook.test"}'
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
FOREVER = threading.Event().wait
PLAIN = ssl.create_default_context()
"""Reading what the system trusts takes its time."""


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


class Names:
    """A name service that counts, and may change its mind."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def __call__(self, host, port):
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def rules(port: int, *networks: str) -> TargetRules:
    return TargetRules(
        plain_http=True, ports=frozenset({port}), networks=tuple(ip_network(n) for n in networks)
    )


def send(found, *, seconds: float = 60.0, url: str | None = None, names=None, tls=None, scheme="http"):
    allowed = rules(found.port, "127.0.0.1")
    transport = WebhookTransport(allowed, names or Names(["127.0.0.1"]), tls or PLAIN, seconds)
    target = url or f"{scheme}://{HOST}:{found.port}/hook?a=b"
    return transport.deliver(target, {"webhook-id": "msg_1", "content-type": "application/json"}, BODY)


def server_tls(authority, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def test_the_operator_may_trust_an_authority_of_its_own(authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "own.pem")
    with receiver(answering(), tls=server_tls(authority, HOST)) as found:
        assert send(found, scheme="https", tls=trusting(tmp_path / "own.pem")).is_taken
        assert send(found, scheme="https", tls=trusting(None)).error == "tls_failed"


def client_tls(authority) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_a_message_arrives_as_it_was_given():
    with receiver(answering(204)) as found:
        outcome = send(found)
    assert (outcome.is_taken, outcome.status, outcome.error) == (True, 204, None)
    head, _, body = found.requests[0].partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"post /hook?a=b http/1.1"
    assert f"host: {HOST}:{found.port}".encode() in lines
    assert b"webhook-id: msg_1" in lines
    assert body == BODY


def test_tls_asks_for_the_hosts_own_certificate_at_the_address_that_was_checked(authority):
    with receiver(answering(), tls=server_tls(authority, HOST)) as found:
        outcome = send(found, scheme="https", tls=client_tls(authority))
    assert (outcome.status, outcome.error) == (200, None)
    assert found.names == [HOST]
    assert len(found.requests) == 1


@pytest.mark.parametrize("named", ["other.example.org", "127.0.0.1"])
def test_a_certificate_of_another_name_is_refused(authority, named):
    with receiver(answering(), tls=server_tls(authority, named)) as found:
        outcome = send(found, scheme="https", tls=client_tls(authority))
    assert (outcome.status, outcome.error) == (None, "tls_failed")
    assert found.requests == []


def test_a_certificate_of_an_unknown_authority_is_refused(authority):
    with receiver(answering(), tls=server_tls(authority, HOST)) as found:
        outcome = send(found, scheme="https", tls=client_tls(trustme.CA()))
    assert outcome.error == "tls_failed"
    assert found.requests == []


def test_the_host_is_looked_up_once_and_a_second_answer_changes_nothing(monkeypatch):
    looked_up = []
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: looked_up.append(host) or real(host, *a, **k)
    )
    names = Names(["127.0.0.1"], ["127.0.0.9"])
    with receiver(answering()) as found, receiver(answering(), address="127.0.0.9") as other:
        assert send(found, names=names).is_taken
    assert names.asked == [HOST]
    assert HOST not in looked_up, "nobody but the resolver that was given may look names up"
    assert (found.connections, other.connections) == (1, 0)


def test_a_host_that_moves_to_a_private_address_after_its_registration_is_not_followed():
    names = Names(["93.184.216.34"], ["10.0.0.1"], ["169.254.169.254"], ["1.1.1.1", "127.0.0.1"])
    transport = WebhookTransport(TargetRules(), names)
    assert names(HOST, 443) == ["93.184.216.34"]
    for _ in range(3):
        outcome = transport.deliver(f"https://{HOST}/", {}, BODY)
        assert (outcome.status, outcome.error) == (None, "webhook_address_refused")


def test_an_address_that_is_not_allowed_is_never_connected_to():
    with receiver(answering()) as found:
        transport = WebhookTransport(rules(found.port), Names(["127.0.0.1"]))
        for url in (f"http://{HOST}:{found.port}/", f"http://127.0.0.1:{found.port}/"):
            assert transport.deliver(url, {}, BODY).error == "webhook_address_refused"
    assert found.connections == 0


def test_a_redirect_is_an_answer_like_others():
    with receiver(answering()) as inner:
        location = f"location: http://127.0.0.1:{inner.port}/metadata\r\n"
        for status in (301, 302, 303, 307, 308):
            with receiver(answering(status, location)) as found:
                outcome = send(found)
            assert (outcome.status, outcome.is_taken) == (status, False)
    assert inner.connections == 0


def test_proxies_of_the_environment_are_not_asked(monkeypatch):
    with receiver(answering(503)) as proxy, receiver(answering()) as found:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert send(found).is_taken
    assert proxy.connections == 0


def test_the_next_address_is_tried_where_one_does_not_answer():
    with receiver(answering()) as found:
        allowed = rules(found.port, "127.0.0.0/8")
        outcome = WebhookTransport(allowed, Names(["127.0.0.77", "127.0.0.1"])).deliver(
            f"http://{HOST}:{found.port}/", {}, BODY
        )
    assert outcome.is_taken


@pytest.mark.parametrize(
    ("act", "seconds", "error"),
    [
        (lambda _: FOREVER(60), 1.0, "timeout"),
        (sending(b"HTTP/1.1 200 OK\r\nx: ", b"y", lambda: FOREVER(0.02)), 1.0, "timeout"),
        (sending(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 1000), 60.0, "answer_too_large"),
        (sending(b"HTTP/1.1 200 OK\r\nx: ", b"y" * 4096), 60.0, "answer_too_large"),
        (sending(b"", b"HTTP/1.1 102 Processing\r\n\r\n"), 60.0, "answer_too_large"),
        (sending(b"", b"HTTP/1.1 102 Processing\r\n\r\n", lambda: FOREVER(0.02)), 1.0, "timeout"),
        (sending(b"SSH-2.0-OpenSSH_9.2\r\n"), 60.0, "malformed_answer"),
        (sending(b"HTTP/1.1 2000 OK\r\n\r\n"), 60.0, "malformed_answer"),
        (sending(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"), 60.0, "malformed_answer"),
        (lambda _: None, 60.0, "malformed_answer"),
    ],
)
def test_a_receiver_that_does_not_answer_has_one_deadline_and_one_limit(act, seconds, error):
    with receiver(act) as found:
        outcome = send(found, seconds=seconds)
    assert (outcome.status, outcome.error) == (None, error)
    assert outcome.message
    assert len(found.requests) == 1


def test_a_receiver_that_never_shakes_hands_has_the_same_deadline(authority):
    with receiver(lambda _: FOREVER(60), reads=False) as found:
        outcome = send(found, seconds=1.0, scheme="https", tls=client_tls(authority))
    assert outcome.error == "timeout"
    assert found.connections == 1


def test_a_receiver_that_does_not_speak_tls_is_told_of():
    with receiver(sending(b"HTTP/1.1 400 Bad Request\r\n\r\n"), reads=False) as found:
        assert send(found, scheme="https").error == "tls_failed"


def test_nobody_there_is_told_of():
    with receiver(answering()) as found:
        pass
    assert send(found).error == "connection_failed"


def test_a_receiver_that_resets_the_connection_at_once_is_told_of():
    def reset(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with receiver(reset, reads=False) as found:
        outcomes = {send(found).error for _ in range(5)}
    assert outcomes <= {"connection_failed", "malformed_answer"}


def test_a_host_that_is_not_found_is_told_of():
    def nowhere(host, _port):
        raise LookupFailed(f"{host} cannot be found")

    outcome = WebhookTransport(TargetRules(), nowhere).deliver(f"https://{HOST}/", {}, BODY)
    assert (outcome.error, outcome.message) == ("host_not_found", f"{HOST} cannot be found")


@pytest.mark.parametrize(
    "act",
    [
        sending(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n", b"x" * 65536),
        sending(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n", lambda: FOREVER(0.05)
        ),
        sending(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1;" + b"x" * 9000 + b"\r\nx\r\n"),
        sending(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense"),
    ],
)
def test_a_body_without_end_is_left_alone(act, monkeypatch):
    monkeypatch.setattr("gateway.infra.webhook_transport.EXCERPT_SECONDS", 0.5)
    with receiver(act) as found:
        outcome = send(found)
    assert outcome.is_taken
    assert len(outcome.excerpt) <= MAX_EXCERPT_CHARACTERS


def test_a_bomb_of_gzip_is_not_unpacked():
    bomb = gzip.compress(b"\0" * 5_000_000)
    assert len(bomb) < MAX_RECEIVED_BYTES
    with receiver(answering(500, "content-encoding: gzip\r\n", bomb)) as found:
        outcome = send(found)
    assert (outcome.status, outcome.excerpt) == (500, "(a compressed body)")


def test_the_excerpt_of_an_answer_cannot_steer_a_terminal_or_a_page():
    with receiver(answering(400, "", b"\x1b[31mno\x00\r\n\xff<b>" + b"x" * 5000)) as found:
        outcome = send(found)
    assert outcome.excerpt.startswith("\\x1b[31mno\\x00\\r\\n\ufffd<b>")
    assert outcome.excerpt.isprintable()
    assert len(outcome.excerpt) == MAX_EXCERPT_CHARACTERS


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("9" * 60, None),
        ("Mon, 01 Jan 2024 00:00:00 +9999999999999", None),
    ],
)
def test_retry_after_is_read_where_it_is_one(value, seconds):
    with receiver(answering(503, f"retry-after: {value}\r\n")) as found:
        assert send(found).retry_after_seconds == seconds


def test_retry_after_may_be_a_date():
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    with receiver(answering(429, f"retry-after: {later}\r\n")) as found:
        assert 3000 < send(found).retry_after_seconds <= 3600
