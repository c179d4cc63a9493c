"""Looking a receiver's host up while a request waits: with patience for seconds, whatever name servers do."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.domain.webhook_targets import TargetRefused, TargetRules, parse_allowance
from gateway.infra.webhook_lookups import MAX_HANGING, MAX_HANGING_OF_TENANT, HostLookups, LookupsBusy
from gateway.infra.webhook_transport import LookupFailed, system_addresses

URL = "https://hooks.example.org/"


def test_a_host_is_looked_up_and_what_is_found_is_checked():
    found = {"hooks.example.org": ["1.1.1.1"], "inner.example.org": ["1.1.1.1", "10.0.0.1"]}
    lookups = HostLookups(TargetRules(), lambda host, _: found[host])
    lookups.require_allowed(URL, "oak")
    with pytest.raises(TargetRefused) as caught:
        lookups.require_allowed("https://inner.example.org/", "oak")
    assert caught.value.code == "webhook_address_refused"


@pytest.mark.parametrize("trouble", [LookupFailed("NXDOMAIN"), None])
def test_a_name_that_is_refused_is_looked_up_as_seldom_whether_it_is_known_or_not(trouble):
    asked = []

    def resolve(host, _port):
        asked.append(host)
        if trouble is not None:
            raise trouble
        return ["10.0.0.1"]

    lookups = HostLookups(TargetRules(), resolve)
    for _ in range(3):
        with pytest.raises((TargetRefused, LookupFailed)):
            lookups.require_allowed("https://wiki.corp.example/", "oak")
    assert asked == ["wiki.corp.example"], "else the time of the second refusal would tell"


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


def test_those_who_ask_for_one_host_at_a_time_share_a_look_up():
    asked, answer = [], threading.Event()

    def resolve(host, _port):
        asked.append(host)
        answer.wait(60)
        return ["1.1.1.1"]

    lookups = HostLookups(TargetRules(), resolve)
    with ThreadPoolExecutor(30) as pool:
        checks = [pool.submit(lookups.require_allowed, URL, f"tenant{number % 3}") for number in range(30)]
        while not asked:
            pass
        answer.set()
        for check in checks:
            check.result(10)
    assert asked == ["hooks.example.org"]


def test_one_tenant_does_not_take_all_look_ups_for_itself():
    hang = threading.Event()

    def resolve(host, _port):
        if host.startswith("slow"):
            hang.wait(60)
        return ["1.1.1.1"]

    lookups = HostLookups(TargetRules(), resolve, patience_seconds=0.5)
    with ThreadPoolExecutor(MAX_HANGING) as pool:
        urls = [f"https://slow{number}.example.org/" for number in range(MAX_HANGING)]
        checks = [pool.submit(lookups.require_allowed, url, "oak") for url in urls]
        troubles = [type(check.exception(10)) for check in checks]
    assert troubles.count(LookupFailed) == MAX_HANGING_OF_TENANT
    assert troubles.count(LookupsBusy) == MAX_HANGING - MAX_HANGING_OF_TENANT
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
