"""deploy/compose.yaml as an operator would use it: built from one Debian base, on an engine of our own.

Building takes long (5 GB of packages). With DELTANAS_TEST_COMPOSE=FOLDER the engine's folder is kept there,
and images that are in it already are taken as they are.
"""

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from compose_engine import Door, Engine, compose_program, make_base, missing
from sample_chats import NETWORK
from smollm2_model import NAME, smollm2_home

from generator_svc.deltas import canonical_delta

pytestmark = [pytest.mark.full, pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(5400)]

ROOT = Path(__file__).parents[2]
KEPT = "DELTANAS_TEST_COMPOSE"
IMAGE, BASE = "deltanas:local", "deltanas-base:test"
READY_SECONDS = 900
SCORE_SECONDS = 900
TRAINED_SECONDS = 1800
GATEWAYS = ("gateway-1", "gateway-2")
SOURCE = """\
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.layers = nn.Sequential(nn.MaxPool2d(4), nn.Flatten(), nn.LazyLinear(out_shape[0]))

    def forward(self, images):
        return self.layers(images)
"""


class Farm:
    """The project `deltanas` on one engine."""

    def __init__(self, engine, folder):
        self.engine = engine
        self.folder = folder
        self.secrets = folder / "secrets"
        self.files = ["compose.yaml", "compose.debian.yaml"]
        self._doors = []

    def compose(self, *words, check=True):
        files = [word for name in self.files for word in ("-f", ROOT / "deploy" / name)]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "DOCKER_HOST": self.engine.address,
            "DELTANAS_SECRETS": str(self.secrets),
            "DELTANAS_BASE": BASE,
            "DELTANAS_BUILD_NETWORK": "host",
        }
        done = subprocess.run(
            [compose_program(), *files, *words], env=environment, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, f"{words}: {done.stdout[-3000:]} {done.stderr[-6000:]}"
        return done

    def build(self):
        with tempfile.TemporaryDirectory(prefix="deltanas-wheels-") as wheels, served(wheels) as address:
            download_wheels(wheels)
            make_base(self.engine, BASE, f"[global]\nno-index = true\nfind-links = {address}\n")
            self.compose("build")

    def start(self):
        """From nothing to ready, by the commands of docs/deploying.md; the operator's key."""
        subprocess.run([ROOT / "deploy/make-secrets.sh", self.secrets], check=True, stdout=subprocess.DEVNULL)
        key = self.compose("run", "--rm", "first-key").stdout.strip()
        self.compose("up", "--detach", "--wait", "--wait-timeout", str(READY_SECONDS))
        return key

    def door(self, port):
        door = Door(self.engine, port)
        self._doors.append(door)
        return door.address

    def run_in(self, service, code):
        """What a piece of Python says in the container of a service, as the user of its first process."""
        command = ("--user", "deltanas", service, "/usr/bin/python3", "-c", code)
        return self.compose("exec", "-T", *command, check=False)

    def containers(self):
        """What `docker inspect` says of each, by service."""
        ids = self.engine.lines("ps", "--all", "--quiet")
        found = json.loads(self.engine.command("inspect", *ids).stdout) if ids else []
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

    def end(self):
        for door in self._doors:
            door.close()
        (self.folder / "farm.log").write_text(self.compose("logs", "--no-color", check=False).stdout)
        self.compose("down", "--volumes", "--timeout", "30", check=False)


@contextlib.contextmanager
def served(folder):
    """The folder over HTTP, on loopback."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def download_wheels(folder):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = "gateway,generator,filter,runner,llm,farm,gpu"
    listed = subprocess.run(
        [sys.executable, ROOT / "deploy/images/requirements.py", ROOT / "pyproject.toml", extras],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    wanted = [line for line in (*listed, *project["build-system"]["requires"], "wheel") if line]
    options = ("--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--dest", folder)
    # For Debian 12's Python, whatever runs the tests: what some packages need depends on its third number.
    pip = (sys.executable, "-m", "pip", "--python", "/usr/bin/python3")
    subprocess.run([*pip, "download", *options, *wanted], check=True)


@pytest.fixture(scope="module")
def farm():
    why_not = missing()
    if why_not:
        pytest.skip(f"no farm in containers is tested on this machine: {why_not}")
    kept = os.environ.get(KEPT)
    folder = Path(kept or tempfile.mkdtemp(prefix="deltanas-compose-"))
    engine = Engine(folder / "engine")
    farm = Farm(engine, folder)
    try:
        engine.start(own_network=False)
        if engine.command("image", "inspect", IMAGE, check=False).returncode:
            farm.build()
        engine.stop()
        engine.start(own_network=True)
        yield farm
    finally:
        if engine.process is not None:
            farm.end()
        if kept:
            engine.stop()
        else:
            engine.remove()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def operator(farm):
    key = farm.start()
    with httpx.Client(base_url=farm.door(8000), timeout=90, headers=bearer(key)) as http:
        yield http


@pytest.fixture(scope="module")
def submitter(farm, operator):
    """A tenant's client; the data set is there."""
    made = operator.post("/v1/keys", json={"tenant": "ann", "scopes": ["read", "submit", "search"]})
    assert made.status_code == 201, made.text
    with httpx.Client(base_url=farm.door(8000), timeout=90, headers=bearer(made.json()["key"])) as http:
        prepare(operator, http, "fashion-mnist")
        yield http


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def prepare(operator, http, name):
    assert operator.post(f"/v1/datasets/{name}:prepare").status_code == 202
    deadline = time.monotonic() + SCORE_SECONDS
    while not (report := http.get(f"/v1/datasets/{name}").json())["ready"]:
        assert time.monotonic() < deadline, report
        time.sleep(1)


def submit(http, **request):
    wanted = {"source": SOURCE, "dataset": "fashion-mnist", "train_images": 2000, "reuse": False, **request}
    answer = http.post("/v1/evaluations", json=wanted)
    assert answer.status_code == 202, answer.text
    return answer.json()


def score(http, evaluation):
    deadline = time.monotonic() + SCORE_SECONDS
    while time.monotonic() < deadline:
        found = http.get(f"/v1/evaluations/{evaluation['id']}", params={"wait": 30}).json()
        if found["state"] not in {"queued", "running"}:
            assert found["state"] == "succeeded", found["failure"]
            return found
    raise AssertionError(found)


def served_by(farm, http, label):
    """Which gateways answered each of some requests, by what they log."""
    ids = [f"compose-{label}-{number}" for number in range(8)]
    answers = [http.get("/v1/baselines", headers={"x-request-id": each}) for each in ids]
    assert {answer.status_code for answer in answers} == {200}
    logs = {name: farm.compose("logs", "--no-color", name).stdout for name in GATEWAYS}
    return [{name for name, log in logs.items() if each in log} for each in ids]


def test_a_stranger_is_refused_and_what_is_for_agents_is_not_there(farm, submitter):
    address = farm.door(8000)
    assert httpx.get(f"{address}/v1/evaluations").status_code == 401
    for path in ("/internal/v1/agents/x:heartbeat", "/%69nternal/v1/attempts/x:claim", "/Internal/v1/x"):
        assert httpx.post(address + path).status_code == 404


def test_an_evaluation_through_the_proxy_comes_to_a_score(submitter):
    ended = score(submitter, submit(submitter))
    assert 0.3 < ended["measurement"]["accuracy"] <= 1
    assert ended["measurement"]["evaluated_images"] == 10_000
    assert ended["isolation"]["tier"] == "namespaces"


def test_events_come_through_the_proxy_as_they_happen(submitter):
    """The last one happens only after the first was read: a proxy that keeps them back waits for ever."""
    evaluation = submit(submitter, epochs=50, train_images=60_000)
    heard = []
    with submitter.stream("GET", f"/v1/evaluations/{evaluation['id']}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event:"):
                heard.append(line.partition(":")[2].strip())
                if len(heard) == 1:
                    assert submitter.delete(f"/v1/evaluations/{evaluation['id']}").is_success
    assert (heard[0], heard[-1]) == ("queued", "finished")
    assert submitter.get(f"/v1/evaluations/{evaluation['id']}").json()["state"] == "cancelled"


def test_both_gateways_answer_and_where_one_is_killed_the_other_goes_on(farm, submitter):
    by_whom = served_by(farm, submitter, "two")
    assert {name for names in by_whom for name in names} == set(GATEWAYS)
    waiting = submit(submitter, seed=1)
    farm.compose("kill", "gateway-1")
    try:
        answers = [submitter.get("/healthz").status_code for _ in range(40)]
        assert answers.count(200) >= 38, (
            answers
        )  # what was on its way to the dead one may be lost, and says so
        assert score(submitter, waiting)["measurement"]["accuracy"] > 0.3
        assert score(submitter, submit(submitter, seed=2))["measurement"]["accuracy"] > 0.3
        assert served_by(farm, submitter, "one") == [{"gateway-2"}] * 8
    finally:
        farm.compose("up", "--detach", "--wait", "--wait-timeout", str(READY_SECONDS))
    assert {name for names in served_by(farm, submitter, "again") for name in names} == set(GATEWAYS)


REACHED = {
    ("gateway-1", "postgres", 5432),
    ("gateway-1", "redis", 6379),
    ("gateway-1", "generator", 8001),
    ("gateway-1", "filter", 8002),
    ("agent", "redis", 6379),
    ("agent", "proxy", 8001),
}
NOT_REACHED = {
    *((service, "postgres", 5432) for service in ("agent", "generator", "filter", "runner")),
    *((service, "redis", 6379) for service in ("generator", "filter", "runner")),
    *(("runner", service, port) for service, port in (("gateway-1", 8000), ("proxy", 8000), ("proxy", 8001))),
    ("agent", "gateway-1", 8000),
    ("agent", "generator", 8001),
    ("filter", "prometheus", 9090),
}
TRY_ALL = """
import socket, threading

def try_one(name, port, addresses):
    for address in addresses:
        try:
            socket.create_connection((address, port), 5)
        except OSError:
            continue
        print(name, port, flush=True)
        return

for each in {}:
    threading.Thread(target=try_one, args=each).start()
"""


def reached(farm, tried):
    """Those that get through, of (service, other, port).

    By address, in every network where the other has one: a name that is not known would prove nothing.
    """
    addresses = {
        name: [one["IPAddress"] for one in told["NetworkSettings"]["Networks"].values() if one["IPAddress"]]
        for name, told in farm.containers().items()
    }
    through = set()
    for service in {service for service, _, _ in tried}:
        others = [(other, port, addresses[other]) for one, other, port in tried if one == service]
        assert all(known for _, _, known in others)
        said = farm.run_in(service, TRY_ALL.format(others)).stdout
        through |= {(service, other, int(port)) for other, port in map(str.split, said.splitlines())}
    return through


def test_a_service_reaches_those_it_must_and_nobody_else(farm, submitter):
    assert reached(farm, REACHED | NOT_REACHED) == REACHED


def test_the_runner_has_no_network_no_right_and_no_secret(farm, submitter):
    seen = farm.run_in(
        "runner",
        "import os; print(sorted(os.listdir('/sys/class/net')), os.path.exists('/var/run/docker.sock'))\n"
        "status = open('/proc/1/status').read()\n"
        "sets = ('CapEff', 'CapBnd', 'CapPrm')\n"
        "print([line.split()[1] for line in status.splitlines() if line.startswith(sets)])\n"
        "print(status.split('Uid:')[1].split()[0], open('/proc/1/environ').read().replace(chr(0), ' '))",
    )
    assert seen.returncode == 0, seen.stderr
    lines = seen.stdout.splitlines()
    assert lines[0] == "['lo'] False"
    assert lines[1] == str(["0" * 16] * 3)
    assert lines[2].startswith("10001 ")
    for name in ("service_token", "postgres_password", "redis_password"):
        assert (farm.secrets / name).read_text() not in lines[2]


def test_no_secret_is_in_an_image_or_in_what_the_engine_tells(farm, submitter):
    told = json.dumps(list(farm.containers().values())) + json.dumps(
        [
            farm.engine.lines("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
            for image in farm.engine.lines("images", "--quiet")
        ]
    )
    for secret in ("service_token", "postgres_password", "redis_password", "deltanas_metrics_token"):
        assert (farm.secrets / secret).read_text() not in told
    assert "docker.sock" not in told


def test_every_container_runs_as_somebody_and_writes_only_where_it_may(farm, submitter):
    for service, told in farm.containers().items():
        assert told["HostConfig"]["ReadonlyRootfs"], service
        assert not told["HostConfig"]["Privileged"], service
        assert told["HostConfig"]["CapDrop"] == ["ALL"], service
        assert (
            service == "runner"
            or told["Config"]["User"] not in {"", "0", "0:0", "root"}
            or (
                # Whom Debian's images run as stands in themselves.
                json.loads(farm.engine.command("image", "inspect", told["Image"]).stdout)[0]["Config"]["User"]
            )
        ), service


def test_prometheus_reads_both_gateways_and_all_alerts(farm, submitter):
    checked = farm.compose(
        "exec", "-T", "prometheus", "promtool", "check", "config", "/etc/prometheus/prometheus.yml"
    )
    assert "SUCCESS" in checked.stdout + checked.stderr
    address = farm.door(9090)
    deadline = time.monotonic() + READY_SECONDS
    while True:
        targets = httpx.get(f"{address}/api/v1/targets").json()["data"]["activeTargets"]
        health = {target["labels"]["instance"]: target["health"] for target in targets}
        if health == {"gateway-1:8000": "up", "gateway-2:8000": "up"}:
            break
        assert time.monotonic() < deadline, [target["lastError"] for target in targets]
        time.sleep(2)
    rules = httpx.get(f"{address}/api/v1/rules").json()["data"]["groups"][0]["rules"]
    assert len(rules) > 5
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}


def test_a_fine_tune_goes_to_a_generator_of_its_own_and_its_adapter_comes_back(farm, submitter):
    farm.files.append("compose.training.yaml")
    given = shutil.copytree(smollm2_home() / "models" / NAME, farm.folder / "model", dirs_exist_ok=True)
    for path in (given, *given.iterdir()):
        path.chmod(0o755)
    for service in ("generator", "trainer"):
        added = ("deltanas", "models", "add", NAME, "--from", "/given")
        farm.compose("run", "--rm", "--no-deps", "--volume", f"{given}:/given:ro", service, *added)
    farm.compose("up", "--detach", "--wait", "--wait-timeout", str(READY_SECONDS))
    pair = {"baseline_source": NETWORK, "dataset": "fashion-mnist"}
    deltas = [canonical_delta(NETWORK, NETWORK.replace("32", str(width))) for width in range(33, 43)]
    asked = {"model": NAME, "pairs": [pair | {"delta": delta} for delta in deltas], "max_steps": 2}
    asked |= {"evaluate_every": 2, "max_length": 1152, "validation_share": 0.2, "learning_rate": 0.0005}
    made = submitter.post("/v1/fine-tunes", json=asked)
    assert made.status_code == 202, made.text
    job = made.json()["id"]
    deadline = time.monotonic() + TRAINED_SECONDS
    while (found := submitter.get(f"/v1/fine-tunes/{job}").json())["state"] in {"queued", "running"}:
        assert time.monotonic() < deadline, found
        time.sleep(2)
    assert found["state"] == "succeeded", found
    assert job in farm.compose("logs", "--no-color", "agent-training", "trainer").stdout
    adapter = submitter.get(f"/v1/adapters/{found['adapter']}/files/adapter_model.safetensors")
    assert adapter.status_code == 200
    assert len(adapter.content) > 10_000
    to_trainer = ("agent-training", "trainer", 8001)
    not_for_trainer = {("postgres", 5432), ("redis", 6379), ("gateway-1", 8000), ("proxy", 8001)}
    tried = {to_trainer, *(("trainer", *one) for one in not_for_trainer)}
    assert reached(farm, tried) == {to_trainer}


def test_down_leaves_nothing(farm, submitter):
    farm.compose("down", "--volumes", "--timeout", "60")
    assert farm.engine.lines("ps", "--all", "--quiet") == []
    assert farm.engine.lines("volume", "ls", "--quiet") == []
    assert sorted(farm.engine.lines("network", "ls", "--format", "{{.Name}}")) == ["bridge", "host", "none"]
