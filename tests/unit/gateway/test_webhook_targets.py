"""Where a webhook may go: the guard against server-side request forgery, as far as it is pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.webhook_targets import (
    TargetRefused,
    TargetRules,
    address_refusal,
    checked_addresses,
    checked_target,
    parse_allowance,
)

RULES = TargetRules()


def refusal(url: str, rules: TargetRules = RULES) -> str:
    with pytest.raises(TargetRefused) as caught:
        checked_target(url, rules)
    assert caught.value.remedy
    return caught.value.code


def allowing(*entries: str, **fields) -> TargetRules:
    hosts, networks = parse_allowance(entries)
    return TargetRules(hosts=hosts, networks=networks, **fields)


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "header"),
    [
        ("https://hooks.example.org/a?b=c", "hooks.example.org", 443, "/a?b=c", "hooks.example.org"),
        ("HTTPS://Hooks.Example.ORG", "hooks.example.org", 443, "/", "hooks.example.org"),
        ("https://example.org:8443/", "example.org", 8443, "/", "example.org:8443"),
        ("https://example.org?a", "example.org", 443, "/?a", "example.org"),
        ("https://xn--bcher-kva.example/x", "xn--bcher-kva.example", 443, "/x", "xn--bcher-kva.example"),
        ("https://1.1.1.1/", "1.1.1.1", 443, "/", "1.1.1.1"),
        ("https://[2606:4700::1111]:443/", "2606:4700::1111", 443, "/", "[2606:4700::1111]"),
    ],
)
def test_a_url_of_the_internet_is_read(url, host, port, path, header):
    target = checked_target(url, RULES)
    assert (target.host, target.port, target.path, target.host_header) == (host, port, path, header)


@pytest.mark.parametrize(
    "url",
    [
        "https://user@example.org/",
        "https://user:secret@example.org/",
        "https://example.org@127.0.0.1/",
        "https://example.org\\@127.0.0.1/",
        "https://127.0.0.1\\.example.org/",
        "https:/example.org/",
        "https:///example.org/",
        "//example.org/",
        "example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "javascript:alert(1)",
        "https://example.org/#fragment",
        "https://example.org/\r\nX-Injected: yes",
        "https://example.org/a b",
        "https://example.org/\x00",
        "https://exa\tmple.org/",
        "https://bücher.example/",
        "https://①②⑦.⓪.⓪.①/",
        "https://example。org/",
        "https://ex%61mple.org/",
        "https://[fe80::1%25eth0]/",
        "https://[::1/",
        "https://example.org:/",
        "https://example.org:443:80/",
        "https://example.org:-1/",
        "",
        "https://" + "a" * 2000 + ".org/",
    ],
)
def test_what_has_a_second_reading_is_no_url(url):
    assert refusal(url) == "webhook_url_malformed"


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "00127.0.0.1",
        "1.2.3.4.5",
        "example.0x7f",
        "0",
        "localhost",
        "gateway",
        "-bad.example",
        "bad-.example",
        "a..b",
        ".example.org",
        "example.org.",
        "a" * 64 + ".org",
    ],
)
def test_other_spellings_of_addresses_and_names_that_are_not_full_are_refused(host):
    assert refusal(f"https://{host}/") == "webhook_host_refused"


def test_http_and_other_ports_are_the_operators_to_allow():
    assert refusal("http://example.org/") == "webhook_url_not_https"
    assert checked_target("http://example.org/", TargetRules(plain_http=True)).port == 80
    for port in (22, 25, 5432, 6379, 0, 65536, 99999):
        assert refusal(f"https://example.org:{port}/") == "webhook_port_refused"
    assert checked_target("https://example.org:6443/", TargetRules(ports=frozenset({6443}))).port == 6443


NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",
    "168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192",
    "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::1.1.1.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:1.1.1.1",
    "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::101:101", "64:ff9b:1::1",
    "100::1", "2001::1", "2001:0:7f00:1::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::",
    "2002:a9fe:a9fe::1", "2002:101:101::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254",
    "fe80::1", "fe80::1%eth0", "2606:4700::1%lo", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused(address):
    assert address_refusal(address)
    with pytest.raises(TargetRefused, match="not a public address"):
        checked_addresses(checked_target("https://example.org/", RULES), [address], RULES)


@pytest.mark.parametrize("address", [a for a in NOT_PUBLIC if "%" not in a])
def test_a_url_that_names_such_an_address_itself_is_refused(address):
    literal = f"[{address}]" if ":" in address else address
    assert refusal(f"https://{literal}/") == "webhook_address_refused"


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00::1"])
def test_a_public_address_is_not(address):
    assert address_refusal(address) is None


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_nothing_is_let_through_that_python_does_not_hold_for_global(address):
    assert address_refusal(str(address)) or (address.is_global and not address.is_multicast)


@given(st.text(max_size=40))
def test_whatever_else_is_given_is_refused_by_name(text):
    assert refusal(text).startswith("webhook_")
    assert address_refusal(text) or text.count(".") == 3 or ":" in text


def test_one_address_that_is_not_public_refuses_all():
    target = checked_target("https://example.org/", RULES)
    assert checked_addresses(target, ["1.1.1.1", "1.1.1.1", "8.8.8.8"], RULES) == ("1.1.1.1", "8.8.8.8")
    for addresses in (["1.1.1.1", "10.0.0.1"], ["10.0.0.1", "1.1.1.1"]):
        with pytest.raises(TargetRefused) as caught:
            checked_addresses(target, addresses, RULES)
        assert caught.value.code == "webhook_address_refused"
        assert "10.0.0.1" not in str(caught.value), "nobody learns the addresses of inner names"
    with pytest.raises(TargetRefused, match="no address"):
        checked_addresses(target, [], RULES)


def test_the_operator_may_name_hosts_and_networks():
    rules = allowing("hooks.internal", "gateway", "10.1.0.0/16", "127.0.0.1", "fd00::/8")
    inner = checked_target("https://hooks.internal/", rules)
    assert checked_addresses(inner, ["192.168.0.9"], rules) == ("192.168.0.9",)
    assert checked_target("https://gateway/", rules).host == "gateway"
    assert checked_target("https://127.0.0.1:8080/", rules).host == "127.0.0.1"
    assert checked_target("https://[fd00::5]/", rules).host == "fd00::5"
    other = checked_target("https://example.org/", rules)
    assert checked_addresses(other, ["10.1.2.3"], rules) == ("10.1.2.3",)
    for address in ("10.2.0.1", "127.0.0.2", "::ffff:10.1.0.1", "169.254.169.254"):
        with pytest.raises(TargetRefused):
            checked_addresses(other, [address], rules)
    assert rules.names("example.org", "10.1.2.3")
    assert not rules.names("example.org", "10.2.2.3")


@pytest.mark.parametrize(
    "entry", ["10.0.0.0/33", "10.0.0.1/8", "http://x", "a b", "*.example.org", "0x7f", ""]
)
def test_an_allowance_that_cannot_be_read_is_named(entry):
    with pytest.raises(ValueError, match="neither a host name nor a network"):
        parse_allowance([entry])
