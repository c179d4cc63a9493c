"""Whose word counts for where a request came from: a trusted proxy's, and of nobody else's not a letter."""

import asyncio

import httpx
import pytest

from gateway.__main__ import server_config
from gateway.callers import address_of
from gateway.config import Settings
from gateway.domain.token_buckets import bucket_of_address

PROXY, STRANGER, CALLER = "10.0.0.5", "192.0.2.1", "198.51.100.7"


async def tells_the_address(scope, _receive, send):
    """An application that answers where its caller is, for the gateway."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": address_of(scope).encode()})


def seen(trusted: str, sender: str, *forwarded: str, name: str = "x-forwarded-for") -> str:
    config = server_config(tells_the_address, Settings(home="/nowhere", trusted_proxies=trusted))
    config.load()

    async def ask() -> str:
        transport = httpx.ASGITransport(config.loaded_app, client=(sender, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            return (await http.get("/", headers=[(name, value) for value in forwarded])).text

    return asyncio.run(ask())


@pytest.mark.parametrize("sender", [STRANGER, "127.0.0.1", "::1"])
@pytest.mark.parametrize("trusted", ["", PROXY])
def test_who_is_not_trusted_is_taken_for_himself_whatever_he_says(trusted, sender):
    assert seen(trusted, sender, CALLER) == sender
    assert seen(trusted, sender, f"{CALLER}, {PROXY}") == sender
    assert seen(trusted, sender, f"for={CALLER}", name="forwarded") == sender


def test_of_a_trusted_proxy_the_address_counts_that_it_has_seen_itself():
    assert seen(PROXY, PROXY, CALLER) == CALLER
    assert seen(PROXY, PROXY, f"1.1.1.1, {CALLER}") == CALLER, "what stands before is the caller's own word"
    assert seen(PROXY, PROXY, "1.1.1.1", CALLER) == CALLER, "a proxy may add a line of its own"
    assert seen(PROXY, PROXY) == PROXY


def test_proxies_before_proxies_are_passed_over_where_they_are_trusted():
    forwarded = f"1.1.1.1, {CALLER}, 10.7.0.9"
    assert seen("10.0.0.0/8", PROXY, forwarded) == CALLER
    assert seen(PROXY, PROXY, forwarded) == "10.7.0.9"


@pytest.mark.parametrize("forged", ["", "nobody", "1.1.1.1:80, x", "\u00ff", "9" * 5000])
def test_garbage_is_an_address_like_any_other_and_makes_no_bucket_of_its_own(forged):
    assert bucket_of_address(seen(PROXY, STRANGER, forged.encode("latin-1"))) == STRANGER
    assert len(bucket_of_address(seen(PROXY, PROXY, forged.encode("latin-1")))) <= 64
