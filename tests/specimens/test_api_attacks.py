"""Hostile calls against a live family: refused by name, nothing stored, nothing told, still healthy."""

import gzip
import io
import json
import os
import pickle
import pty
import socket
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "e2e"))
from live_server import DATASET, DELTANAS, Server, small_fashion_mnist

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

MOST_OPEN = 24
TINY = """
import torch.nn as nn
class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        pixels = in_shape[1] * in_shape[2] * in_shape[3]
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(pixels, out_shape[0]))
    def forward(self, x):
        return self.layers(x)
"""
GOOD = {"source": TINY, "dataset": DATASET}
JSON = {"content-type": "application/json"}
BYTES = {"content-type": "application/octet-stream"}


class AttackedServer(Server):
    """A server whose queue is short enough to be flooded."""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"DELTANAS_MAX_OPEN_EVALUATIONS": str(MOST_OPEN)}


@dataclass
class Target:
    """The server under attack, and what it holds that nobody may change or read."""

    server: Server
    http: httpx.Client
    canary: Path

    def stored(self) -> dict[str, Any]:
        """Everything that a refused call must leave as it is."""
        datasets = self.server.home / "datasets"
        return {
            "evaluations": [
                e["id"] for e in self.http.get("/v1/evaluations", params={"limit": 200}).json()["items"]
            ],
            "searches": [s["id"] for s in self.http.get("/v1/searches").json()["items"]],
            "datasets": [d["name"] for d in self.http.get("/v1/datasets").json()["items"] if d["ready"]],
            "files": sorted(p.name for p in datasets.iterdir()),
            "canary": self.canary.exists(),
        }

    def check(self, answer: httpx.Response) -> None:
        """An answer tells nothing of the machine behind it, and the server goes on."""
        told = answer.text
        for secret in (
            str(self.server.home),
            "Traceback",
            "site-packages",
            "sqlalchemy",
            "sqlite",
            "root:x:0",
        ):
            assert secret not in told, told[:2000]
        assert self.http.get("/healthz").json() == {"status": "ok"}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    home = tmp_path_factory.mktemp("attacked")
    server = AttackedServer(home)
    server.start()
    try:
        added = server.cli("datasets", "add", DATASET, str(small_fashion_mnist(home / "small.npz")), "--json")
        assert added.returncode == 0, added.stdout + added.stderr
        with server.http as http:
            yield Target(server, http, home / "canary-that-only-an-attack-creates")
    finally:
        server.stop()


def refused(
    target: Target, answer: httpx.Response, status: int, code: str, names: str = ""
) -> dict[str, Any]:
    """The answer is this problem, about this field, and gives nothing away."""
    assert answer.status_code == status, answer.text[:2000]
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code, problem
    assert (problem.get("field") or "").startswith(names), problem
    assert len(answer.content) < 20_000
    target.check(answer)
    return problem


# --- what a request may not say ------------------------------------------------------------------------

FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "LD_PRELOAD in an environment": ({"environment": {"LD_PRELOAD": "/tmp/x.so"}}, "environment"),
    "PYTHONSTARTUP": ({"env": {"PYTHONSTARTUP": "/tmp/x.py"}}, "env"),
    "NVIDIA_VISIBLE_DEVICES": ({"NVIDIA_VISIBLE_DEVICES": "all"}, "NVIDIA_VISIBLE_DEVICES"),
    "another image": ({"image": "evil/guest:latest"}, "image"),
    "a mount of the root": ({"mounts": [{"source": "/", "target": "/host"}]}, "mounts"),
    "a volume": ({"volumes": ["/var/run/docker.sock:/x"]}, "volumes"),
    "the host's network": ({"network_mode": "host"}, "network_mode"),
    "a capability": ({"cap_add": ["SYS_ADMIN"]}, "cap_add"),
    "another command": ({"argv": ["/bin/sh", "-c", "id"]}, "argv"),
    "another user": ({"user": "0:0"}, "user"),
    "another runtime": ({"runtime": "runc"}, "runtime"),
    "a key of one's own": ({"split_key": "0" * 64}, "split_key"),
    "half of the images": ({"scored_on": "selection_half"}, "scored_on"),
    "a flag as a device": ({"device": "--privileged"}, "device"),
    "a path as a device": ({"device": "cuda:../../dev/sda"}, "device"),
    "a command as a device": ({"device": "cuda:0;id"}, "device"),
    "a negative limit": ({"limits": {"memory_bytes": -1}}, "limits.memory_bytes"),
    "a limit without end": ({"limits": {"pids": 10**30}}, "limits.pids"),
    "a limit as text": ({"limits": {"wall_seconds": "unlimited"}}, "limits.wall_seconds"),
    "a limit that nobody knows": ({"limits": {"shm_size": "64g"}}, "limits.shm_size"),
    "a callback to loopback": ({"callback_url": "http://127.0.0.1:8000/"}, "callback_url"),
    "a callback to the metadata service": ({"callback_url": "http://169.254.169.254/latest"}, "callback_url"),
    "a callback to a file": ({"callback_url": "file:///etc/passwd"}, "callback_url"),
    "a callback to a public host": ({"callback_url": "https://example.com/redirect"}, "callback_url"),
    "a data set above its folder": ({"dataset": "../../etc/passwd"}, "dataset"),
    "a data set with an absolute path": ({"dataset": "/etc/passwd"}, "dataset"),
    "a data set with a NUL": ({"dataset": "small\0fashion"}, "dataset"),
    "a data set with a line end": ({"dataset": f"{DATASET}\n"}, "dataset"),
    "a data set as SQL": ({"dataset": "x' OR '1'='1"}, "dataset"),
    "a data set as a template": ({"dataset": "{{7*7}}"}, "dataset"),
    "a baseline above its folder": ({"source": None, "baseline": "../networks/residual"}, "baseline"),
    "HTML as a tag": ({"tags": ["<script>alert(1)</script>"]}, "tags.0"),
    "a terminal escape as a tag": ({"tags": ["\x1b[2J"]}, "tags.0"),
    "SQL as a tag": ({"tags": ["a'; DROP TABLE evaluations;--"]}, "tags.0"),
    "a hyperparameter as a path": ({"hyperparameters": {"../x": 1}}, "hyperparameters"),
    "hyperparameters that hold a table": (
        {"hyperparameters": {f"h{i}": "x" * 200 for i in range(60)}},
        "hyperparameters",
    ),
}


@pytest.mark.parametrize(("more", "names"), FIELDS.values(), ids=FIELDS.keys())
def test_nothing_in_a_request_becomes_a_flag_a_mount_a_path_or_a_query(
    target: Target, more: dict[str, Any], names: str
) -> None:
    before = target.stored()
    refused(target, target.http.post("/v1/evaluations", json=GOOD | more), 422, "invalid_request", names)
    assert target.stored() == before


@pytest.mark.parametrize(
    "more",
    [
        {"callback_url": "http://127.0.0.1/"},
        {"proposer": {"kind": "../../x"}},
        {"baselines": ["../plain-cnn"]},
        {"name": "\x1b]0;owned\x07"},
        {"image": "evil"},
    ],
    ids=lambda more: next(iter(more)),
)
def test_nor_in_a_search(target: Target, more: dict[str, Any]) -> None:
    before = target.stored()
    refused(
        target, target.http.post("/v1/searches", json={"dataset": DATASET} | more), 422, "invalid_request"
    )
    assert target.stored() == before


# --- sources that attack whoever reads them --------------------------------------------------------------

NET = "import torch\nclass Net(torch.nn.Module):\n    pass\n"
SOURCES: dict[str, tuple[str, str]] = {
    "sixty thousand minus signs": (f"x = {'-' * 60_000}1\n{NET}", "syntax_error policy_violation"),
    "brackets without end": (f"x = {'[' * 30_000}", "syntax_error"),
    "nested calls": (f"x = {'f(' * 5000}{')' * 5000}\n{NET}", "syntax_error policy_violation"),
    "nested lambdas": (f"x = {'lambda: ' * 5000}0\n{NET}", "syntax_error policy_violation"),
    "attributes without end": (f"x = a{'.a' * 20_000}\n{NET}", "syntax_error policy_violation"),
    "blocks within blocks": (
        "".join(f"{' ' * i}if 1:\n" for i in range(120)) + " " * 120 + "pass\n" + NET,
        "syntax_error policy_violation",
    ),
    "a number of sixty thousand digits": (f"x = {'9' * 60_000}\n{NET}", "syntax_error policy_violation"),
    "a number in hexadecimal": (f"x = 0x{'f' * 60_000}\n{NET}", "policy_violation"),
    "a NUL": (f"{NET}# \0", "syntax_error"),
    "a byte order mark within": (f"x = '\ufeff'\n\ufeff{NET}", "syntax_error"),
    "text that runs backwards": (f"x = 1 \u202e # {NET}", "syntax_error"),
    "an invisible name": (f"x\u200b = 1\n{NET}", "syntax_error"),
    "letters that pass for others": (NET.replace("Net", "Nеt"), "contract_violation"),
    "noise of its full size": (
        NET + "".join(f"# {np.random.default_rng(i).bytes(24).hex()}\n" for i in range(1000)),
        "policy_violation",
    ),
}


@pytest.mark.parametrize(("source", "codes"), SOURCES.values(), ids=SOURCES.keys())
def test_a_source_that_attacks_its_readers_is_refused_within_seconds(
    target: Target, source: str, codes: str
) -> None:
    before = target.stored()
    for path, more, name in (
        ("/v1/evaluations", {"dataset": DATASET, "source": source}, "source"),
        ("/v1/novelty:check", {"source": source}, "source"),
        (
            "/v1/deltas:apply",
            {"baseline_source": source, "delta": "@@ -1 +1 @@\n-a\n+b\n"},
            "baseline_source",
        ),
    ):
        began = time.monotonic()
        answer = target.http.post(path, json=more)
        problem = refused(target, answer, 422, answer.json().get("code", ""), name)
        assert problem["code"] in codes.split(), problem
        assert time.monotonic() - began < 20
    assert target.stored() == before


# --- bodies that attack the parser -------------------------------------------------------------------------


def _utf16() -> bytes:
    return json.dumps(GOOD).encode("utf-16")


BODIES: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "a gzip bomb": (gzip.compress(b" " * 20_000_000), {"content-encoding": "gzip"}, 415, "compressed_body"),
    "a bomb in brotli": (b"\xcb\xff\x3f", {"content-encoding": "br"}, 415, "compressed_body"),
    "two codings": (b"x", {"content-encoding": "identity, gzip"}, 415, "compressed_body"),
    "lists in lists": (b'{"source":' + b"[" * 200_000, {}, 400, "malformed_body"),
    "objects in objects": (b'{"a":' * 50_000, {}, 400, "malformed_body"),
    "closed lists in lists": (b"[" * 900 + b"]" * 900, {}, 422, "invalid_request"),
    "a hundred thousand keys": (
        json.dumps({f"k{i}": i for i in range(30_000)}).encode(),
        {},
        422,
        "invalid_request",
    ),
    "more than is taken": (json.dumps(GOOD | {"x": "y" * 600_000}).encode(), {}, 413, "body_too_large"),
    "the number NaN": (json.dumps(GOOD | {"epochs": float("nan")}).encode(), {}, 422, "invalid_request"),
    "a number beyond floats": (
        json.dumps(GOOD)[:-1].encode() + b', "limits": {"wall_seconds": 1e999}}',
        {},
        422,
        "invalid_request",
    ),
    "a pickle": (pickle.dumps(GOOD), {}, 400, "malformed_body"),
    "a form": (
        b"source=x&dataset=y",
        {"content-type": "application/x-www-form-urlencoded"},
        415,
        "unsupported_media_type",
    ),
    "XML with an entity": (
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
        {"content-type": "application/xml"},
        415,
        "unsupported_media_type",
    ),
    "half a surrogate": (
        b'{"dataset": "' + DATASET.encode() + b'", "source": "\\ud800"}',
        {},
        422,
        "invalid_request",
    ),
    "the same key twice, good and bad": (
        json.dumps(GOOD)[:-1].encode() + b', "dataset": "../etc"}',
        {},
        422,
        "invalid_request",
    ),
}


@pytest.mark.parametrize(("body", "headers", "status", "code"), BODIES.values(), ids=BODIES.keys())
def test_a_body_that_attacks_the_parser_is_refused(
    target: Target, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    before = target.stored()
    refused(target, target.http.post("/v1/evaluations", content=body, headers=JSON | headers), status, code)
    assert target.stored() == before


# --- calls that attack the protocol ------------------------------------------------------------------------

ID = "ev_00000000000000000000"
CALLS: dict[str, tuple[str, str, dict[str, str], int, str]] = {
    "an id that climbs": ("GET", "/v1/evaluations/..%2f..%2fetc%2fpasswd", {}, 404, ""),
    "an id with a NUL": ("GET", "/v1/evaluations/ev_%00", {}, 404, "evaluation_unknown"),
    "an id as SQL": ("GET", "/v1/evaluations/x'%20OR%20'1'='1", {}, 404, "evaluation_unknown"),
    "an id as a template": ("GET", "/v1/evaluations/%7B%7B7*7%7D%7D", {}, 404, "evaluation_unknown"),
    "an id that splits the answer": ("GET", "/v1/evaluations/x%0d%0aset-cookie:%20a=b", {}, 404, ""),
    "HTML as a path": ("GET", "/v1/%3Cscript%3Ealert(1)%3C/script%3E", {}, 404, "not_found"),
    "a page that climbs": ("GET", "/docs/..%2f..%2f..%2fetc%2fpasswd", {}, 404, "not_found"),
    "a report that climbs": ("GET", "/v1/searches/..%2f..%2fx/report", {}, 404, "not_found"),
    "the agents' door": ("GET", "/internal/v1/agents/a/next", {}, 401, "service_token_required"),
    "the agents' door, disguised": ("GET", "/%69nternal/v1/agents/a/next", {}, 401, "service_token_required"),
    "the agents' door, doubled": ("GET", "//internal/v1/agents/a/next", {}, 404, "not_found"),
    "the agents' door, round the corner": ("GET", "/v1/..%2finternal/v1/agents/a/next", {}, 404, "not_found"),
    "a claim without a token": (
        "POST",
        "/internal/v1/attempts/at_0:claim",
        {},
        401,
        "service_token_required",
    ),
    "a cursor as SQL": ("GET", "/v1/evaluations?cursor=ev_0'%20OR%201=1--", {}, 422, "invalid_request"),
    "a cursor of ten thousand letters": ("GET", f"/v1/evaluations?cursor=ev_{'f' * 10_000}", {}, 422, ""),
    "a cursor of another kind": ("GET", "/v1/searches?cursor=ev_00", {}, 422, "invalid_request"),
    "a page without end": ("GET", "/v1/evaluations?limit=1000000000", {}, 422, "invalid_request"),
    "a page of minus one": ("GET", "/v1/evaluations?limit=-1", {}, 422, "invalid_request"),
    "a state that is none": ("GET", "/v1/evaluations?state=succeeded'--", {}, 422, "invalid_request"),
    "a tag without end": ("GET", f"/v1/evaluations?tag={'a' * 5000}", {}, 422, "invalid_request"),
    "an endless wait": ("GET", f"/v1/evaluations/{ID}?wait=1e308", {}, 422, "invalid_request"),
    "a wait of NaN": ("GET", f"/v1/evaluations/{ID}?wait=nan", {}, 422, "invalid_request"),
    "a foreign host": ("GET", "/v1/evaluations", {"host": "evil.example"}, 421, "host_not_allowed"),
    "a name that was bound again": (
        "POST",
        "/v1/evaluations",
        {"host": "evil.example:80"},
        421,
        "host_not_allowed",
    ),
    "a foreign page": (
        "POST",
        "/v1/evaluations",
        {"origin": "https://evil.example"},
        403,
        "cross_origin_refused",
    ),
    "a page without an origin": (
        "DELETE",
        f"/v1/evaluations/{ID}",
        {"origin": "null"},
        403,
        "cross_origin_refused",
    ),
    "a preflight": (
        "OPTIONS",
        "/v1/evaluations",
        {"origin": "https://evil.example", "access-control-request-method": "POST"},
        405,
        "method_not_allowed",
    ),
    "TRACE": ("TRACE", "/v1/evaluations", {}, 405, "method_not_allowed"),
    "a made-up method": ("PROPFIND", "/v1/evaluations", {}, 405, "method_not_allowed"),
    "a wrong key": ("GET", "/v1/evaluations", {"authorization": "Bearer dn_wrong"}, 401, "api_key_required"),
    "a key as SQL": (
        "GET",
        "/v1/evaluations",
        {"authorization": "Bearer ' OR 1=1--"},
        401,
        "api_key_required",
    ),
    "an event id as SQL": (
        "GET",
        f"/v1/evaluations/{ID}/events",
        {"last-event-id": "0 OR 1=1"},
        422,
        "invalid_request",
    ),
}


@pytest.mark.parametrize(("method", "path", "headers", "status", "code"), CALLS.values(), ids=CALLS.keys())
def test_a_call_that_attacks_the_protocol_is_refused(
    target: Target, method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    before = target.stored()
    url = httpx.URL(target.http.base_url, raw_path=path.encode())
    answer = target.http.request(method, url, headers=headers)
    assert "access-control-allow-origin" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert "<script>alert" not in answer.text or "json" in answer.headers["content-type"]
    refused(target, answer, status, code or answer.json()["code"])
    assert target.stored() == before


def _raw(head: str, body: bytes = b"") -> bytes:
    return head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body


SMUGGLED = b"POST /v1/evaluations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
SMUGGLED += b"Content-Length: %d\r\n\r\n" % len(json.dumps(GOOD)) + json.dumps(GOOD).encode()
POST = "POST /v1/deltas:apply HTTP/1.1\nHost: 127.0.0.1\nContent-Type: application/json\n"
BYTES_ON_THE_WIRE: dict[str, tuple[bytes, set[int]]] = {
    "a length and chunks": (
        _raw(f"{POST}Content-Length: 5\nTransfer-Encoding: chunked", b"0\r\n\r\n" + SMUGGLED),
        {400},
    ),
    "two lengths": (
        _raw(f"{POST}Content-Length: 2\nContent-Length: {2 + len(SMUGGLED)}", b"{}" + SMUGGLED),
        {400},
    ),
    "a coding that hides the chunks": (
        _raw(f"{POST}Transfer-Encoding: xchunked", b"0\r\n\r\n" + SMUGGLED),
        {400, 411, 415, 422, 501},
    ),
    "a negative length": (_raw(f"{POST}Content-Length: -1", SMUGGLED), {400, 413}),
    "a length in another script": (_raw(f"{POST}Content-Length: \xb2", SMUGGLED), {400, 413}),
    "a length beyond numbers": (_raw(f"{POST}Content-Length: {'9' * 400}", b"{}"), {400, 413}),
    "a chunk that lies": (_raw(f"{POST}Transfer-Encoding: chunked", b"-1\r\n" + SMUGGLED), {400}),
    "a folded header": (
        _raw(f"{POST}X-A: b\n Transfer-Encoding: chunked\nContent-Length: 2", b"{}"),
        {400, 422},
    ),
    "a space before the colon": (_raw(f"{POST}Content-Length : 2", b"{}"), {400, 422}),
    "a NUL in a header": (_raw("GET /healthz HTTP/1.1\nHost: 127.0.0.1\nX-A: a\0b"), {400}),
    "two hosts": (_raw("GET /v1/evaluations HTTP/1.1\nHost: 127.0.0.1\nHost: evil.example"), {400, 421}),
    "no host": (_raw("GET /v1/evaluations HTTP/1.1\nX-A: b"), {400, 421}),
    "a whole address as the target": (
        _raw("GET http://evil.example/v1/evaluations HTTP/1.1\nHost: evil.example"),
        {400, 404, 421},
    ),
    "a tunnel": (_raw("CONNECT 169.254.169.254:80 HTTP/1.1\nHost: 127.0.0.1"), {400, 404, 405, 421}),
    "a header of a megabyte": (
        _raw(f"GET /healthz HTTP/1.1\nHost: 127.0.0.1\nX-A: {'a' * 1_000_000}"),
        {400, 431},
    ),
    "ten thousand headers": (
        _raw("GET /healthz HTTP/1.1\nHost: 127.0.0.1\n" + "\n".join(f"X-{i}: {i}" for i in range(10_000))),
        {400, 431},
    ),
    "a WebSocket": (
        _raw(
            "GET /v1/evaluations HTTP/1.1\nHost: evil.example\nUpgrade: websocket\nConnection: Upgrade\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13"
        ),
        {400, 403, 404, 421, 426},
    ),
    "another protocol": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 421, 505}),
    "no protocol at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200, {400}),
}


@pytest.mark.parametrize(("sent", "statuses"), BYTES_ON_THE_WIRE.values(), ids=BYTES_ON_THE_WIRE.keys())
def test_bytes_that_two_readers_would_read_in_two_ways_smuggle_nothing_in(
    target: Target, sent: bytes, statuses: set[int]
) -> None:
    before = target.stored()
    received = _exchange(target.server.port, sent)
    answers = received.split(b"HTTP/1.1 ")[1:]
    assert len(answers) <= 1, received[:2000]
    if answers:
        assert int(answers[0][:3]) in statuses, received[:600]
    assert b"evil" not in received.partition(b"\r\n\r\n")[0]
    target.check(httpx.Response(200, content=received))
    assert target.stored() == before


def _exchange(port: int, sent: bytes) -> bytes:
    """What comes back on one connection until the server closes it or has nothing more to say."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            connection.sendall(sent)
            connection.settimeout(1.5)
            while chunk := connection.recv(65_536):
                received += chunk
        except OSError:
            pass
    return received


def test_a_method_in_a_header_is_no_method(target: Target) -> None:
    made = target.http.post("/v1/evaluations", json=GOOD | {"minimum_tier": "docker+runsc"}).json()
    headers = {"x-http-method-override": "DELETE", "x-method-override": "DELETE"}
    read = target.http.get(f"/v1/evaluations/{made['id']}", headers=headers, params={"_method": "DELETE"})
    assert (read.status_code, read.json()["state"] in {"queued", "running"}) == (200, True)
    assert target.http.delete(f"/v1/evaluations/{made['id']}").json()["state"] == "cancelled"


# --- data sets that attack whoever unpacks them ------------------------------------------------------------


class Exploding:
    """Creates a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.canary), "w"))


def _npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _zip(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def _member(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    return info


def _object_array(canary: Path) -> bytes:
    bomb = np.array([Exploding(canary)], dtype=object)
    return _npz(images=bomb, labels=np.zeros(1, dtype=np.int64))


def _pickle_as_array(canary: Path) -> bytes:
    return _zip(
        ("images.npy", pickle.dumps(Exploding(canary))), ("labels.npy", pickle.dumps(Exploding(canary)))
    )


def _torch_file(canary: Path) -> bytes:
    return _zip(("archive/data.pkl", pickle.dumps(Exploding(canary))), ("archive/version", b"3\n"))


def _header_that_computes(canary: Path) -> bytes:
    header = f"{{'descr': open({str(canary)!r}, 'w'), 'fortran_order': False, 'shape': (1,)}}".encode()
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    return _zip(("images.npy", array), ("labels.npy", array))


def _lying_header(_canary: Path) -> bytes:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999999, 9999, 9999)}"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(100)
    return _zip(("images.npy", array), ("labels.npy", array))


def _bomb(_canary: Path) -> bytes:
    return _zip(*((f"ant/{i}.png", bytes(40_000_000)) for i in range(3)))


def _declared_bomb(_canary: Path) -> bytes:
    """A directory that promises 17 GiB."""
    data = bytearray(_zip(*((f"c{i % 2}/{i}.png", b"x") for i in range(8)), method=zipfile.ZIP_STORED))
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        data[at + 24 : at + 28] = (2**31).to_bytes(4, "little")
        at += 4
    return bytes(data)


UPLOADS: dict[str, Callable[[Path], bytes]] = {
    "an array of pickled objects": _object_array,
    "pickles named as arrays": _pickle_as_array,
    "a file of torch.save": _torch_file,
    "a bare pickle": lambda canary: pickle.dumps(Exploding(canary)),
    "an array header that computes": _header_that_computes,
    "an array header that lies": _lying_header,
    "a member above its folder": lambda canary: _zip((f"../../{canary.name}", b"x")),
    "a member with an absolute path": lambda _: _zip(("/etc/cron.d/evil", b"x")),
    "a member with backslashes": lambda _: _zip(("ant\\..\\..\\x.png", b"x")),
    "a member with a NUL": lambda _: _zip(("ant/xQ.png", b"x")).replace(b"ant/xQ.png", b"ant/x\0.png"),
    "a link": lambda _: _zip((_member("ant/x.png", stat.S_IFLNK), b"/etc/passwd")),
    "a device": lambda _: _zip((_member("ant/x.png", stat.S_IFBLK), b"")),
    "a pipe": lambda _: _zip((_member("ant/x.png", stat.S_IFIFO), b"")),
    "pictures that unpack to much": _bomb,
    "a directory that promises too much": _declared_bomb,
    "a script as a picture": lambda _: _zip(
        ("ant/x.png", b"<script>"), ("bee/x.png", b"<svg onload=alert(1)>")
    ),
    "nothing": lambda _: b"",
    "noise": lambda _: np.random.default_rng(0).bytes(50_000),
}


@pytest.mark.parametrize("make", UPLOADS.values(), ids=UPLOADS.keys())
def test_a_data_set_that_attacks_its_reader_is_refused_and_leaves_nothing(
    target: Target, make: Callable[[Path], bytes]
) -> None:
    before = target.stored()
    body = make(target.canary)
    answer = target.http.post("/v1/datasets", params={"name": "evil"}, content=body, headers=BYTES)
    refused(target, answer, 422, "dataset_unavailable", "dataset")
    assert target.stored() == before


NAMES = ["../evil", "/etc/evil", "evil\0", "a/b", ".", "", "EVIL", "x" * 65, "evil\n", "-rf", "<b>"]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_data_set_under_an_impossible_name_is_refused(target: Target, name: str) -> None:
    before = target.stored()
    content = _npz(images=np.zeros((8, 4, 4), np.uint8), labels=np.arange(8) % 2)
    answer = target.http.post("/v1/datasets", params={"name": name}, content=content, headers=BYTES)
    refused(target, answer, 422, "invalid_request", "query.name")
    assert target.stored() == before


@pytest.mark.parametrize("name", ["fashion-mnist", DATASET])
def test_nobody_replaces_a_data_set_that_is_there(target: Target, name: str) -> None:
    before = target.stored()
    content = _npz(images=np.zeros((8, 4, 4), np.uint8), labels=np.arange(8) % 2)
    answer = target.http.post("/v1/datasets", params={"name": name}, content=content, headers=BYTES)
    refused(target, answer, 422, "dataset_unavailable", "dataset")
    assert target.stored() == before


# --- calls that race and calls that flood ----------------------------------------------------------------


def test_one_key_with_another_body_is_refused_and_with_the_same_body_gives_the_same(target: Target) -> None:
    waiting = GOOD | {"minimum_tier": "docker+runsc"}
    headers = {"idempotency-key": "attack-1"}
    first = target.http.post("/v1/evaluations", json=waiting, headers=headers)
    before = target.stored()
    other = target.http.post("/v1/evaluations", json=waiting | {"seed": 1}, headers=headers)
    refused(target, other, 422, "idempotency_key_reused", "Idempotency-Key")
    again = target.http.post("/v1/evaluations", json=waiting, headers=headers)
    assert again.json()["id"] == first.json()["id"]
    assert target.stored() == before
    target.http.delete(f"/v1/evaluations/{first.json()['id']}")


def test_of_concurrent_calls_with_one_key_one_wins(target: Target) -> None:
    waiting = GOOD | {"minimum_tier": "docker+runsc"}
    before = len(target.stored()["evaluations"])

    def send(seed: int) -> tuple[int, str | None]:
        body, headers = waiting | {"seed": seed % 2}, {"idempotency-key": "attack-2"}
        answer = httpx.post(f"{target.http.base_url}/v1/evaluations", json=body, headers=headers, timeout=60)
        return answer.status_code, answer.json().get("id")

    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(send, range(16)))
    won = {made for status, made in answers if status == 202}
    assert len(won) == 1
    assert {status for status, _ in answers} == {202, 422}
    assert len(target.stored()["evaluations"]) == before + 1
    target.http.delete(f"/v1/evaluations/{won.pop()}")


def test_a_flood_is_told_when_to_come_again_and_nothing_of_it_is_kept(target: Target) -> None:
    waiting = GOOD | {"minimum_tier": "docker+runsc", "reuse": False, "epochs": 100}
    made = [
        target.http.post("/v1/evaluations", json=waiting | {"seed": seed}).json()["id"]
        for seed in range(MOST_OPEN)
    ]
    before = target.stored()
    for path, body in (("/v1/evaluations", waiting), ("/v1/evaluations:batch", {"items": [waiting] * 100})):
        answer = target.http.post(path, json=body)
        assert answer.headers["retry-after"].isdigit()
        refused(target, answer, 429, "queue_full")
    assert target.stored() == before
    assert target.http.get("/v1/evaluations").status_code == 200
    for one in made:
        assert target.http.delete(f"/v1/evaluations/{one}").json()["state"] == "cancelled"


def test_a_cancellation_that_races_with_the_end_leaves_one_terminal_state(target: Target) -> None:
    made = [
        target.http.post("/v1/evaluations", json=GOOD | {"seed": seed, "reuse": False}).json()["id"]
        for seed in range(5)
    ]

    def cancel(place: int) -> str:
        time.sleep(place * 2.5)
        answer = httpx.delete(f"{target.http.base_url}/v1/evaluations/{made[place]}", timeout=60)
        return answer.json()["state"]

    with ThreadPoolExecutor(5) as callers:
        told = list(callers.map(cancel, range(5)))
    for one, state in zip(made, told, strict=True):
        ended = target.http.get(f"/v1/evaluations/{one}", params={"wait": 30}).json()
        assert ended["state"] == state
        assert state in {"succeeded", "cancelled"}
        assert (ended["measurement"] is not None) == (state == "succeeded")
        events = target.http.get(f"/v1/evaluations/{one}/events").text
        assert events.count("event: finished") == 1
    assert "cancelled" in told


def test_a_follower_who_leaves_changes_nothing_and_leaves_nothing_behind(target: Target) -> None:
    made = target.http.post("/v1/evaluations", json=GOOD | {"seed": 77, "reuse": False}).json()["id"]
    (gateway,) = target.server.pids("gateway")

    def descriptors() -> int:
        return len(list(Path(f"/proc/{gateway}/fd").iterdir()))

    before = descriptors()
    for _ in range(20):
        with target.http.stream("GET", f"/v1/evaluations/{made}/events") as stream:
            next(stream.iter_lines())
    assert target.http.get(f"/v1/evaluations/{made}", params={"wait": 60}).json()["state"] == "succeeded"
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


# --- text that attacks whoever looks at it -----------------------------------------------------------------

HOSTILE = "<img src=x onerror=alert(1)>{{7*7}}\x1b]0;owned\x07\x1b[2J\u202e"
RAISING = f"{TINY}\nprint({HOSTILE!r}, flush=True)\nraise ValueError({HOSTILE!r})\n"


def _harmless_page(text: str) -> None:
    assert "<img src=x" not in text
    assert "<script" not in text
    assert "49" not in text.split("onerror=alert(1)", 1)[-1][:20]
    _harmless_terminal(text)


def _harmless_terminal(text: str) -> None:
    for forbidden in ("\x1b]", "\x1b[2J", "\x07", "\u202e"):
        assert forbidden not in text


def test_text_of_a_candidate_is_escaped_in_logs_on_pages_and_on_the_terminal(
    target: Target, tmp_path: Path
) -> None:
    made = target.http.post("/v1/evaluations", json=GOOD | {"source": RAISING}).json()
    ended = target.http.get(f"/v1/evaluations/{made['id']}", params={"wait": 60}).json()
    assert ended["failure"]["reason"] == "build_error"
    log = target.http.get(f"/v1/evaluations/{made['id']}/logs").json()["items"][0]["log"]
    assert "onerror" in log
    for text in (log, ended["failure"]["message"]):
        _harmless_terminal(text)
    page = target.http.get("/")
    assert made["id"] in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    _harmless_page(page.text)
    file = tmp_path / "raising.py"
    file.write_text(RAISING)
    shown = target.server.cli("evaluate", str(file), "--dataset", DATASET)
    assert shown.returncode == 1
    assert "onerror" in shown.stdout + shown.stderr
    _harmless_terminal(shown.stdout + shown.stderr)


def _on_a_terminal(server: Server, *words: str) -> str:
    """What a command writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    command = subprocess.Popen([DELTANAS, *words], env=server.environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    printed = b""
    try:
        while chunk := os.read(ours, 65_536):
            printed += chunk
    except OSError:  # a terminal whose other end is closed
        pass
    finally:
        os.close(ours)
    assert command.wait(timeout=60) == 0, printed
    return printed.decode()


def test_text_of_a_delta_is_escaped_on_the_terminal(target: Target, tmp_path: Path) -> None:
    base, delta = tmp_path / "base.py", tmp_path / "delta.diff"
    base.write_text(TINY)
    delta.write_text(f"--- a\n+++ b\n@@ -1 +1 @@\n-{HOSTILE}\n+{HOSTILE}\n")
    shown = target.server.cli("delta", "apply", str(base), str(delta))
    assert shown.returncode == 1
    _harmless_terminal(shown.stdout + shown.stderr)
    delta.write_text(
        f"--- a\n+++ b\n@@ -2,1 +2,2 @@\n import torch.nn as nn\n+note = {HOSTILE!r}  # \u202e\n"
    )
    printed = _on_a_terminal(target.server, "delta", "apply", str(base), str(delta))
    assert "note" in printed
    _harmless_terminal(printed)


def test_a_name_is_escaped_on_every_page(target: Target) -> None:
    name = "<img src=x onerror=alert(1)>{{7*7}}${7*7}"
    body = {"dataset": DATASET, "name": name, "minimum_tier": "docker+runsc", "cycles": 1}
    made = target.http.post("/v1/searches", json=body)
    assert made.status_code == 202, made.text
    search = made.json()["id"]
    for path in ("/", f"/v1/searches/{search}/report"):
        page = target.http.get(path)
        assert "onerror" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        _harmless_page(page.text)
    shown = target.server.cli("search", "list")
    assert "onerror" in shown.stdout
    assert target.http.post(f"/v1/searches/{search}:cancel").json()["state"] == "cancelled"


# --- and after all that ----------------------------------------------------------------------------------

CURIOUS = """
import os
import torch

def supported_hyperparameters():
    return {"lr", "momentum", "LD_PRELOAD", "PYTHONSTARTUP", "NVIDIA_VISIBLE_DEVICES"}

names = {"LD_PRELOAD", "PYTHONSTARTUP", "NVIDIA_VISIBLE_DEVICES"} & set(os.environ)
print("leaked" if names else "clean", flush=True)

class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))

    def train_setup(self, prm):
        pass

    def learn(self, train_data):
        pass
"""


def test_hyperparameters_named_like_variables_of_the_loader_reach_the_network_alone(target: Target) -> None:
    values = {"LD_PRELOAD": "/tmp/x.so", "PYTHONSTARTUP": "/tmp/x.py", "NVIDIA_VISIBLE_DEVICES": "all"}
    body = {"source": CURIOUS, "dataset": DATASET, "hyperparameters": values}
    made = target.http.post("/v1/evaluations", json=body).json()
    ended = target.http.get(f"/v1/evaluations/{made['id']}", params={"wait": 60}).json()
    assert ended["state"] == "succeeded", ended["failure"]
    log = target.http.get(f"/v1/evaluations/{made['id']}/logs").json()["items"][0]["log"]
    assert log.split() == ["clean"]


def test_after_every_attack_the_server_measures_an_honest_network_with_its_first_processes(
    target: Target,
) -> None:
    evaluation = target.http.post("/v1/evaluations", json=GOOD | {"seed": 99, "reuse": False}).json()
    ended = target.http.get(f"/v1/evaluations/{evaluation['id']}", params={"wait": 60}).json()
    assert ended["state"] == "succeeded", ended["failure"]
    assert ended["measurement"]["accuracy"] > 0.5
    assert not target.canary.exists()
    log = "".join(path.read_text(errors="replace") for path in (target.server.home / "logs").iterdir())
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:4000]
