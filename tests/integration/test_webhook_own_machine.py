"""A public address of the gateway's own machine is no way past its firewall. In a network of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from webhook_receivers import answering, receiver
from gateway.domain.webhook_targets import TargetRules, parse_allowance
from gateway.infra.webhook_transport import WebhookTransport

with receiver(answering(), address="93.184.216.34") as found:
    for named in ([], ["93.184.216.0/24"], ["hooks.example.org"]):
        rules = TargetRules(True, frozenset({found.port}), *parse_allowance(named))
        url = f"http://hooks.example.org:{found.port}/"
        outcome = WebhookTransport(rules, lambda *_: ["93.184.216.34"]).deliver(url, {"a": "b"}, b"{}")
        print(outcome.status, outcome.error, sum(b"a: b" in raw for raw in found.requests))
"""


@pytest.mark.slow
@pytest.mark.sandbox
def test_the_gateways_own_public_address_is_refused_unless_it_is_named():
    inside = 'ip link set lo up; ip addr add 93.184.216.34/32 dev lo; exec "$0" -c "$1"'
    ended = subprocess.run(
        ["unshare", "--net", "sh", "-c", inside, sys.executable, SCRIPT],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests/unit'}", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    refused, *allowed = (line.split() for line in ended.stdout.splitlines())
    assert refused == ["None", "webhook_address_refused", "0"]
    assert allowed == [["200", "None", "1"], ["200", "None", "2"]]
