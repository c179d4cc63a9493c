"""Looking a receiver's host up while a request waits: with patience for seconds, whatever name servers do."""

import threading

import pytest

from gateway.domain.webhook_targets import TargetRefused, TargetRules, parse_allowance
from gateway.infra.webhook_lookups import MAX_HANGING, HostLookups, LookupsBusy
from gateway.infra.webhook_transport import LookupFailed, system_addresses

URL = "https://hooks.example.org/"


def test_a_host_is_looked_up_and_what_is_found_is_checked():
    found = {"hooks.example.org": ["1.1.1.1"], "inner.example.org": ["1.1.1.1", "10.0.0.1"]}
    lookups = HostLookups(TargetRules(), lambda host, _: found[host])
    lookups.require_allowed(URL, "oak")
    with pytest.raises(TargetRefused) as caught:
        lookups.require_allowed("https://inner.example.org/", "oak")
    assert caught.value.code == "webhook_address_refused"


def test_what_can_be_refused_at_once_is_not_looked_up():
    asked = []
    lookups = HostLookups(TargetRules(), lambda host, _: asked.append(host) or ["1.1.1.1"])
    for url in ("https://10.0.0.1/", "https://localhost/", "ftp://hooks.example.org/"):
        with pytest.raises(TargetRefused):
            lookups.require_allowed(url, "oak")
    assert asked == []
    for _ in range(5):
        lookups.require_allowed(URL, "oak")
    assert asked == ["hooks.example.org"], "a batch with one receiver asks once"


def test_a_host_that_the_operator_named_may_be_unknown_now():
    hosts, networks = parse_allowance(["hooks.internal"])
    lookups = HostLookups(TargetRules(hosts=hosts, networks=networks), lambda *_: 1 / 0)
    lookups.require_allowed("https://hooks.internal/", "oak")


def test_a_host_that_is_not_found_is_told_of():
    with pytest.raises(LookupFailed, match=r"nowhere\.invalid"):
        system_addresses("nowhere.invalid", 443)
    assert system_addresses("127.0.0.1", 443) == ("127.0.0.1",)


def test_a_name_server_that_hangs_costs_its_tenant_a_rest_and_nobody_else():
    hang = threading.Event()

    def resolve(host, _port):
        if host.startswith("slow"):
            hang.wait(60)
        return ["1.1.1.1"]

    lookups = HostLookups(TargetRules(), resolve, patience_seconds=0.2)
    with pytest.raises(LookupFailed, match="not found within"):
        lookups.require_allowed("https://slow.example.org/", "oak")
    with pytest.raises(LookupsBusy):
        lookups.require_allowed(URL, "oak")
    lookups.require_allowed(URL, "elm")
    hang.set()


def test_so_many_look_ups_may_hang_and_no_more():
    hang = threading.Event()
    lookups = HostLookups(TargetRules(), lambda *_: hang.wait(60) and ["1.1.1.1"], patience_seconds=0.01)
    for number in range(MAX_HANGING):
        with pytest.raises(LookupFailed):
            lookups.require_allowed(f"https://slow{number}.example.org/", f"tenant{number}")
    with pytest.raises(LookupsBusy):
        lookups.require_allowed(URL, "elm")
    hang.set()
