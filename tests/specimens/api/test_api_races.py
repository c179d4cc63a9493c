"""Calls that race with each other, and calls that flood."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from api_target import MOST_OPEN, WAITING, Target, refused

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


def test_one_key_with_another_body_is_refused_and_with_the_same_body_gives_the_same(target: Target) -> None:
    headers = {"idempotency-key": "attack-1"}
    first = target.http.post("/v1/evaluations", json=WAITING, headers=headers).json()["id"]
    before = target.stored()
    other = target.http.post("/v1/evaluations", json=WAITING | {"seed": 1}, headers=headers)
    refused(target, other, 422, "idempotency_key_reused", "Idempotency-Key")
    again = target.http.post("/v1/evaluations", json=WAITING, headers=headers)
    assert again.json()["id"] == first
    assert target.stored() == before
    target.cancel(first)


def test_of_concurrent_calls_with_one_key_one_wins(target: Target) -> None:
    before = len(target.stored()["evaluations"])

    def send(seed: int) -> tuple[int, str | None]:
        body, headers = WAITING | {"seed": seed % 2}, {"idempotency-key": "attack-2"}
        answer = httpx.post(f"{target.http.base_url}/v1/evaluations", json=body, headers=headers, timeout=60)
        return answer.status_code, answer.json().get("id")

    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(send, range(16)))
    won = {made for status, made in answers if status == 202}
    assert len(won) == 1
    assert {status for status, _ in answers} == {202, 422}
    assert len(target.stored()["evaluations"]) == before + 1
    target.cancel(won.pop())


def test_a_flood_is_told_when_to_come_again_and_nothing_of_it_is_kept(target: Target) -> None:
    waiting = WAITING | {"reuse": False, "epochs": 100}
    made = [target.submit(**waiting | {"seed": seed}) for seed in range(MOST_OPEN)]
    before = target.stored()
    for path, body in (("/v1/evaluations", waiting), ("/v1/evaluations:batch", {"items": [waiting] * 100})):
        answer = target.http.post(path, json=body)
        assert answer.headers["retry-after"].isdigit()
        refused(target, answer, 429, "queue_full")
    assert target.stored() == before
    assert target.http.get("/v1/evaluations").status_code == 200
    for one in made:
        target.cancel(one)


def test_a_cancellation_that_races_with_the_end_leaves_one_terminal_state(target: Target) -> None:
    made = [target.submit(seed=seed, reuse=False) for seed in range(5)]

    def cancel(place: int) -> str:
        time.sleep(place * 0.5)
        answer = httpx.delete(f"{target.http.base_url}/v1/evaluations/{made[place]}", timeout=60)
        return answer.json()["state"]

    with ThreadPoolExecutor(5) as callers:
        told = list(callers.map(cancel, range(5)))
    for one, state in zip(made, told, strict=True):
        ended = target.ended(one)
        assert ended["state"] == state
        assert state in {"succeeded", "cancelled"}
        assert (ended["measurement"] is not None) == (state == "succeeded")
        events = target.http.get(f"/v1/evaluations/{one}/events").text
        assert events.count("event: finished") == 1
    assert "cancelled" in told


def test_a_follower_who_leaves_changes_nothing_and_leaves_nothing_behind(target: Target) -> None:
    made = target.submit(seed=77, reuse=False)
    gateway = target.server.services()["gateway"]

    def descriptors() -> int:
        return len(list(Path(f"/proc/{gateway}/fd").iterdir()))

    before = descriptors()
    for _ in range(20):
        with target.http.stream("GET", f"/v1/evaluations/{made}/events") as stream:
            next(stream.iter_lines())
    assert target.ended(made)["state"] == "succeeded"
    deadline = time.monotonic() + 20
    while descriptors() > before + 3 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert descriptors() <= before + 3


def test_readers_who_never_read_keep_nobody_else_out(target: Target) -> None:
    sleepers = [socket.create_connection(("127.0.0.1", target.server.port)) for _ in range(100)]
    try:
        for sleeper in sleepers:
            sleeper.sendall(
                b"POST /v1/evaluations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{"
            )
        began = time.monotonic()
        assert target.http.get("/v1/evaluations").status_code == 200
        assert time.monotonic() - began < 10
    finally:
        for sleeper in sleepers:
            sleeper.close()
