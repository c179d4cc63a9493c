"""Nothing in a request becomes a flag, a mount, a path, a query or a variable."""

from typing import Any

import pytest
from api_target import GOOD, Target, refused
from live_server import DATASET
from sample_networks import LEARNS_BY_ITSELF

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

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


CALLBACKS = {
    "without TLS": ("http://192.0.2.1/", "webhook_url_not_https"),
    "to a file": ("file:///etc/passwd", "webhook_url_malformed"),
    "to loopback": ("https://127.0.0.1/", "webhook_address_refused"),
    "to loopback as one number": ("https://2130706433/", "webhook_host_refused"),
    "to loopback by its name": ("https://localhost/", "webhook_host_refused"),
    "to loopback in IPv6": ("https://[::ffff:127.0.0.1]/", "webhook_address_refused"),
    "to the metadata service": ("https://169.254.169.254/latest", "webhook_address_refused"),
    "to a neighbour": ("https://10.0.0.1/", "webhook_address_refused"),
}


@pytest.mark.parametrize("call", ["/v1/evaluations", "/v1/searches"])
@pytest.mark.parametrize(("url", "code"), CALLBACKS.values(), ids=CALLBACKS.keys())
def test_no_callback_makes_the_gateway_call_inwards(target: Target, call: str, url: str, code: str) -> None:
    before = target.stored()
    body = GOOD if call == "/v1/evaluations" else {"dataset": DATASET}
    refused(target, target.http.post(call, json=body | {"callback_url": url}), 422, code, "callback_url")
    assert target.stored() == before


@pytest.mark.parametrize(
    "more",
    [
        {"proposer": {"kind": "../../x"}},
        {"baselines": ["../plain-cnn"]},
        {"name": "\x1b]0;owned\x07"},
        {"image": "evil"},
    ],
    ids=lambda more: next(iter(more)),
)
def test_nor_in_a_search(target: Target, more: dict[str, Any]) -> None:
    before = target.stored()
    answer = target.http.post("/v1/searches", json={"dataset": DATASET} | more)
    refused(target, answer, 422, "invalid_request")
    assert target.stored() == before


CURIOUS = """
import os

LOADERS = {"LD_PRELOAD", "PYTHONSTARTUP", "NVIDIA_VISIBLE_DEVICES"}
print("leaked" if LOADERS & set(os.environ) else "clean", flush=True)
""" + LEARNS_BY_ITSELF.replace('{"lr", "momentum"}', '{"lr", "momentum"} | LOADERS')


def test_hyperparameters_named_like_variables_of_the_loader_reach_the_network_alone(target: Target) -> None:
    values = {"LD_PRELOAD": "/tmp/x.so", "PYTHONSTARTUP": "/tmp/x.py", "NVIDIA_VISIBLE_DEVICES": "all"}
    made = target.submit(source=CURIOUS, hyperparameters=values | {"lr": 0.01, "momentum": 0.9})
    ended = target.ended(made)
    assert ended["state"] == "succeeded", ended["failure"]
    assert target.log(made).split() == ["clean"]
