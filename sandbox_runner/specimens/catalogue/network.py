"""Attacks on the network, the host's kernel, and what privileges there are."""

from contracts.failures import FailureReason as Reason
from sandbox_runner.specimens.specimen import Section, denied, fails

SECTION = Section(
    "Network and host",
    (
        denied(
            "tries_the_network",
            "Tries to reach anything at all, by every family of sockets.",
            essential=True,
        ),
        fails(
            "downloads_weights",
            "Wants pretrained weights from the internet.",
            Reason.BUILD_ERROR,
            "no network",
        ),
        denied(
            "escapes_its_namespaces",
            "Tries the system calls that lead out of a sandbox, or deep into the kernel.",
            essential=True,
        ),
        denied(
            "spies_on_processes",
            "Reads memory, environments and descriptors of whatever else it can see.",
            essential=True,
        ),
        denied(
            "borrows_from_the_host",
            "Looks for what else is installed on the host, and reaches for its kernel through shared files.",
        ),
    ),
)
