"""What tests everywhere may ask for."""

import os
from collections.abc import Iterator

import pytest

A_DEVELOPERS_OWN = (
    "DELTANAS_HOME",
    "DELTANAS_API_KEY",
    "DELTANAS_GATEWAY_ADDRESS",
    "DELTANAS_DATABASE_URL",
    "DELTANAS_LLM_",
)


def pytest_configure() -> None:
    """What is set for a server of one's own must not reach the servers of tests, nor tests that server."""
    for name in [name for name in os.environ if name.startswith(A_DEVELOPERS_OWN)]:
        del os.environ[name]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch computes in one thread: networks as small as those of tests only wait for each other on more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
