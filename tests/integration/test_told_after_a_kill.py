"""Webhooks of a gateway that is killed: what had happened is told, under the id that it had."""

import threading
from contextlib import contextmanager

import pytest
from standardwebhooks import Webhook
from test_gateway_process import GatewayProcess
from webhook_receivers import answering, receiver


@contextmanager
def gateway_on(home, monkeypatch, **settings):
    for name, value in settings.items():
        monkeypatch.setenv(f"DELTANAS_{name.upper()}", value)
    monkeypatch.setattr("test_gateway_process.START_SECONDS", 240)
    gateway = GatewayProcess(home)
    gateway.start()
    try:
        gateway.agent.heartbeat()
        yield gateway
    finally:
        gateway.kill()


@pytest.mark.slow
def test_what_ended_before_a_kill_is_told_after_it_under_one_id(tmp_path, monkeypatch):
    with receiver(lambda _: threading.Event().wait(60)) as hung, receiver(answering(503)) as busy:
        ports = f"{hung.port},{busy.port}"
        allowed = {"webhook_http": "true", "webhook_allow": "127.0.0.1", "webhook_ports": ports}
        with gateway_on(tmp_path, monkeypatch, **allowed) as gateway:
            made = gateway.http.post("/v1/webhook-endpoints", json={"url": f"http://127.0.0.1:{hung.port}/"})
            evaluation = gateway.submit(callback_url=f"http://127.0.0.1:{busy.port}/")
            gateway.agent.report(gateway.agent.claim_next())
            while not (hung.requests and busy.requests):
                threading.Event().wait(0.05)
            gateway.kill()
            gateway.start()
            found = gateway.http.get("/v1/webhook-deliveries", params={"subject_id": evaluation}).json()
            assert len(found["items"]) == 2
            assert {item["state"] for item in found["items"]} == {"pending"}
            while len(busy.requests) < 2:
                threading.Event().wait(0.05)
    first, second = (dict(lines(raw)) for raw in busy.requests[:2])
    assert first["webhook-id"] == second["webhook-id"]
    _, _, body = hung.requests[0].partition(b"\r\n\r\n")
    told = Webhook(made.json()["secret"]).verify(body, dict(lines(hung.requests[0])))
    assert told["data"]["id"] == evaluation


def lines(raw: bytes):
    head = raw.partition(b"\r\n\r\n")[0].decode()
    return (line.split(": ", 1) for line in head.split("\r\n")[1:])
