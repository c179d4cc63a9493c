"""Where a webhook may go: a guard against server-side request forgery, as pure functions.

A tenant names the URL, the gateway sends the request: without a guard any tenant could reach whatever the
gateway reaches. So a URL is read by one strict grammar, and every address that its host resolves to must
be publicly routable. Who connects does so to an address that was checked here, and looks up no second one
(`gateway.infra.webhook_transport`). What is not said to be allowed is refused.

Source of the special address blocks: IANA's special-purpose address registries (RFC 6890 and its updates).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Network = IPv4Network | IPv6Network

MAX_URL_LENGTH = 2000
MAX_ADDRESSES = 16
"""Of one host; more are not looked at."""
WEB_PORTS = (80, 443, 8080, 8443)
_USUAL_PORTS = {"https": 443, "http": 80}

# Printable ASCII only: what has a second reading (backslashes, user names, fragments) has no place in it.
_URL = re.compile(
    r"(?P<scheme>[Hh][Tt][Tt][Pp][Ss]?)://"
    r"(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>[/?][!$%&'()*+,./:;=?@_~A-Za-z0-9-]*)?"
)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_REFUSED_BLOCKS: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "a private network"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "a cloud provider's own service"),
    ("169.254.0.0/16", "link-local, where cloud metadata is"),
    ("172.16.0.0/12", "a private network"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "AS112 redirection"),
    ("192.52.193.0/24", "automatic multicast tunnelling"),
    ("192.88.99.0/24", "6to4 relays"),
    ("192.168.0.0/16", "a private network"),
    ("192.175.48.0/24", "AS112 redirection"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "the unspecified address"),
    ("::1/128", "loopback"),
    ("::ffff:0:0/96", "an IPv4 address in IPv6"),
    ("::/96", "an IPv4 address in IPv6"),
    ("64:ff9b::/96", "an IPv4 address behind NAT64"),
    ("64:ff9b:1::/48", "an IPv4 address behind NAT64"),
    ("2001::/32", "Teredo, an IPv4 address in IPv6"),
    ("2001::/23", "protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4, an IPv4 address in IPv6"),
    ("2620:4f:8000::/48", "AS112 redirection"),
    ("3fff::/20", "documentation"),
    ("fc00::/7", "a unique local network"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "a site-local network"),
    ("ff00::/8", "multicast"),
)
_REFUSED: tuple[tuple[Network, str], ...] = tuple((ip_network(block), why) for block, why in _REFUSED_BLOCKS)
_IPV6_UNICAST = IPv6Network("2000::/3")
"""All of IPv6 that is handed out as globally routable."""


class TargetRefused(Exception):
    """No webhook goes there. `code` is stable; the message names the reason, `remedy` what to do."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.code = code
        self.remedy = remedy


class HostRefused(TargetRefused):
    """What the host resolves to is refused. The message tells of the inner network: it is the operator's."""


HOST_REFUSED = "webhook_address_refused"
HOST_REMEDY = (
    "Use a host that the internet's name service finds and that has public addresses alone; the operator can "
    "allow others with DELTANAS_WEBHOOK_ALLOW, and finds the reason in the gateway's log."
)


def host_refusal(host: str) -> str:
    """What a tenant is told of a host that is unknown, or is not public: which of them, nobody tells him.

    Else whoever may name a URL could ask the gateway for the names of the network that it is in.
    """
    return f"{host} must resolve to public addresses only."


@dataclass(frozen=True)
class TargetRules:
    """What the operator allows beyond public addresses over https."""

    plain_http: bool = False
    ports: frozenset[int] = frozenset(WEB_PORTS)
    hosts: frozenset[str] = frozenset()
    """Names that may resolve to any address."""
    networks: tuple[Network, ...] = ()
    """Addresses that may be reached although they are not public."""

    def names(self, host: str, address: str) -> bool:
        """Whether the operator has named this host or this address."""
        if host in self.hosts:
            return True
        parsed = ip_address(address)
        return any(parsed in network for network in self.networks if network.version == parsed.version)


@dataclass(frozen=True)
class WebhookTarget:
    """A URL that was read: whom to look up, and what to ask for there."""

    scheme: str
    host: str
    """In lower case; an IPv6 address without its brackets."""
    port: int
    path: str
    """With its query; at least `/`."""

    @property
    def host_header(self) -> str:
        """Host, and the port where it is not the scheme's own."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if _USUAL_PORTS[self.scheme] == self.port else f"{name}:{self.port}"


def parse_allowance(entries: Iterable[str]) -> tuple[frozenset[str], tuple[Network, ...]]:
    """Host names and networks out of what an operator wrote. Raises ValueError, which names the entry."""
    hosts, networks = set(), []
    for entry in entries:
        word = entry.lower()
        try:
            networks.append(ip_network(word))
        except ValueError:
            labels = word.split(".")
            if not all(_LABEL.fullmatch(label) for label in labels) or _NUMBER.fullmatch(labels[-1]):
                raise ValueError(
                    f"{entry!r} is neither a host name nor a network such as 10.1.0.0/16"
                ) from None
            hosts.add(word)
    return frozenset(hosts), tuple(networks)


def checked_target(url: str, rules: TargetRules) -> WebhookTarget:
    """Read a URL and refuse what can be refused without looking anything up. Raises TargetRefused."""
    found = _URL.fullmatch(url) if len(url) <= MAX_URL_LENGTH else None
    if found is None:
        raise TargetRefused("webhook_url_malformed", _why_malformed(url), "Use https://host.example/path.")
    scheme = found["scheme"].lower()
    if scheme != "https" and not rules.plain_http:
        raise TargetRefused(
            "webhook_url_not_https",
            "A webhook goes over https only: http shows it to everybody on the way.",
            "Use an https URL; the operator can allow http with DELTANAS_WEBHOOK_HTTP=true.",
        )
    port = int(found["port"] or _USUAL_PORTS[scheme])
    if port not in rules.ports:
        allowed = ", ".join(str(number) for number in sorted(rules.ports))
        raise TargetRefused(
            "webhook_port_refused",
            f"A webhook does not go to port {port}.",
            f"Use one of the ports {allowed}; the operator sets them with DELTANAS_WEBHOOK_PORTS.",
        )
    host = _checked_host(found["host"].lower(), rules)
    path = found["path"] or "/"
    return WebhookTarget(scheme, host, port, path if path.startswith("/") else f"/{path}")


def checked_addresses(target: WebhookTarget, addresses: Sequence[str], rules: TargetRules) -> tuple[str, ...]:
    """What the host resolved to, if each of it may be reached. Raises HostRefused.

    One address that may not be reached is enough to refuse them all: whoever names it means no good.
    """
    if not addresses:
        raise HostRefused(HOST_REFUSED, f"{target.host} has no address.", HOST_REMEDY)
    if target.host not in rules.hosts:
        for address in addresses:
            why = address_refusal(address, rules.networks)
            if why is not None:
                raise HostRefused(HOST_REFUSED, f"{target.host} is not a public address: {why}.", HOST_REMEDY)
    return tuple(dict.fromkeys(addresses[:MAX_ADDRESSES]))


def address_refusal(address: str, allowed: Sequence[Network] = ()) -> str | None:
    """Why no webhook goes to an address, or None where it may go."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "not an address"
    if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
        return "an address of one network interface"
    if any(parsed in network for network in allowed if network.version == parsed.version):
        return None
    for network, why in _REFUSED:
        if network.version == parsed.version and parsed in network:
            return why
    if isinstance(parsed, IPv6Address) and parsed not in _IPV6_UNICAST:
        return "not handed out for the internet"
    # The registries grow; python's own knowledge of them is a second opinion.
    if not parsed.is_global or parsed.is_multicast or parsed.is_reserved:
        return "not globally routable"
    return None


def _checked_host(host: str, rules: TargetRules) -> str:
    if host.startswith("["):
        return _checked_literal(host[1:-1], rules)
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1] or "-"):
        # Only the four plain decimal numbers: 0x7f.1, 017700000001 and 2130706433 are 127.0.0.1, too.
        return _checked_literal(host, rules)
    if not all(_LABEL.fullmatch(label) for label in labels) or (len(labels) < 2 and host not in rules.hosts):
        raise TargetRefused(
            "webhook_host_refused",
            f"{host} is not a full host name of the internet.",
            "Use a name such as hooks.example.org; DELTANAS_WEBHOOK_ALLOW can name others.",
        )
    return host


def _checked_literal(text: str, rules: TargetRules) -> str:
    try:
        parsed: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        raise TargetRefused(
            "webhook_host_refused",
            f"{text} is an address in a spelling that has more than one reading.",
            "Use a host name, or four decimal numbers with dots between them.",
        ) from None
    literal = str(parsed)
    try:
        checked_addresses(WebhookTarget("https", literal, 443, "/"), [literal], rules)
    except HostRefused as refusal:  # what the URL says itself is no secret
        raise TargetRefused(refusal.code, str(refusal), refusal.remedy) from None
    return literal


def _why_malformed(url: str) -> str:
    if len(url) > MAX_URL_LENGTH:
        return f"The URL has {len(url)} characters; at most {MAX_URL_LENGTH} are allowed."
    if not url.isascii():
        return "The URL has characters beyond ASCII: write the host in its xn-- form, and %XX in the path."
    authority = re.split(r"[/?#\\]", url.partition("://")[2], maxsplit=1)[0]
    if "@" in authority:
        return "The URL names a user before its host; credentials have no place in it."
    if "#" in url:
        return "The URL has a fragment, which is never sent."
    return "This is not a URL of the form https://host/path."
