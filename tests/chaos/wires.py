"""A host of the farm in a network of its own, on a wire that can be cut (`ip netns`; root alone may)."""

import os
import subprocess


class Wire:
    """A network namespace, joined with this machine's by a pair of virtual interfaces."""

    NEAR, FAR = "10.197.31.1", "10.197.31.2"
    """The addresses of this machine and of the host at the other end."""

    def __init__(self) -> None:
        self._name = f"deltanas-{os.getpid()}"
        self._outside, inside = f"dn{os.getpid()}a", f"dn{os.getpid()}b"
        _ip("netns", "add", self._name)
        _ip("link", "add", self._outside, "type", "veth", "peer", "name", inside)
        _ip("link", "set", inside, "netns", self._name)
        _ip("addr", "add", f"{self.NEAR}/24", "dev", self._outside)
        _ip("link", "set", self._outside, "up")
        for words in (("addr", "add", f"{self.FAR}/24", "dev", inside), ("link", "set", inside, "up")):
            _ip("-n", self._name, *words)
        _ip("-n", self._name, "link", "set", "lo", "up")

    @property
    def within(self) -> tuple[str, ...]:
        """The command that runs another one at the far end; `ip netns exec` would hide the control groups."""
        return ("nsenter", f"--net=/run/netns/{self._name}")

    def cut(self) -> None:
        """From now on whatever either end sends vanishes, and nobody is told."""
        _ip("link", "set", self._outside, "down")

    def mend(self) -> None:
        _ip("link", "set", self._outside, "up")

    def remove(self) -> None:
        _ip("link", "del", self._outside)
        _ip("netns", "del", self._name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=60)
