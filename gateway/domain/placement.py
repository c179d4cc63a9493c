"""Which hosts can run an attempt, how many slots it takes there, and who keeps them for it. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from contracts.jobs import RunnerCapabilities
from contracts.names import IsolationTier


@dataclass(frozen=True)
class Requirements:
    """What an attempt asks of its host."""

    device: str
    tier_strength: int
    dataset: str
    gpu_memory_bytes: int = 0
    """Of the GPU that it runs on, at least; 0: any."""
    threads: int = 1


@dataclass(frozen=True)
class Obstacle:
    """Why nobody who is there can run an attempt."""

    code: str
    """`no_agent`, `no_sandbox`, `device`, `minimum_tier`, `gpu_memory`, `threads` or `dataset`."""
    message: str
    remedy: str
    """What an operator or the caller can do."""


def can_run(host: RunnerCapabilities, wanted: Requirements) -> bool:
    """Whether the host has device, GPU memory, tier and threads enough, and the data set ready."""
    return all(meets(host, wanted) for meets, _ in _DEMANDS)


def any_of(hosts: Iterable[RunnerCapabilities], wanted: Requirements) -> bool:
    """Whether it is all the same which of these hosts takes the attempt."""
    return all(can_run(host, wanted) for host in hosts)


def gpu_memory_of(host: RunnerCapabilities, device: str) -> int:
    """Bytes of a device as requests name it, of the largest for `cuda`; 0 where there is none, or unknown."""
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return 0
    sizes = host.gpu_memory_bytes if not number else host.gpu_memory_bytes[int(number) :][:1]
    return max(sizes, default=0)


def most_threads(host: RunnerCapabilities) -> int:
    """How many threads one attempt may have on the host."""
    return host.slots * host.threads_per_slot


def slots_taken(host: RunnerCapabilities, threads: int) -> int:
    """How many of the host's slots an attempt with so many threads takes."""
    return max(1, -(-threads // host.threads_per_slot))


def keeper(hosts: Mapping[str, tuple[RunnerCapabilities, int]], wanted: Requirements) -> str | None:
    """Who keeps what becomes free for an attempt that takes several slots; None where it fits nowhere.

    `hosts`: what agents have, and how many of their slots are free. It is the one that lacks fewest slots for
    it: one host keeps them and not all, and the fewest that are lacking only ever grow fewer.
    """
    lacking = [
        (slots_taken(host, wanted.threads) - free, agent_id)
        for agent_id, (host, free) in hosts.items()
        if can_run(host, wanted)
    ]
    return min(lacking)[1] if lacking else None


def obstacle(hosts: Iterable[RunnerCapabilities], wanted: Requirements) -> Obstacle | None:
    """What keeps every host that takes attempts from this one; None if one can run it, now or later.

    Demands are looked at one after the other: the first that nobody meets who met those before is named.
    """
    able = [host for host in hosts if host.slots > 0]
    if not able:
        return Obstacle(
            "no_agent",
            "No agent is there to run it.",
            "It waits. An operator starts one with `deltanas agent`; `deltanas up` has its own.",
        )
    for meets, missing in _DEMANDS:
        left = [host for host in able if meets(host, wanted)]
        if not left:
            return missing(able, wanted)
        able = left
    return None


def _has_sandbox(host: RunnerCapabilities, wanted: Requirements) -> bool:  # noqa: ARG001
    return host.tier is not None


def _has_device(host: RunnerCapabilities, wanted: Requirements) -> bool:
    return wanted.device in host.devices


def _has_tier(host: RunnerCapabilities, wanted: Requirements) -> bool:
    return host.tier is not None and host.tier.strength >= wanted.tier_strength


def _has_gpu_memory(host: RunnerCapabilities, wanted: Requirements) -> bool:
    return gpu_memory_of(host, wanted.device) >= wanted.gpu_memory_bytes


def _has_threads(host: RunnerCapabilities, wanted: Requirements) -> bool:
    return most_threads(host) >= wanted.threads


def _has_dataset(host: RunnerCapabilities, wanted: Requirements) -> bool:
    return any(report.ready and report.name == wanted.dataset for report in host.datasets)


def _no_sandbox(hosts: Sequence[RunnerCapabilities], wanted: Requirements) -> Obstacle:  # noqa: ARG001
    return Obstacle(
        "no_sandbox",
        "On no host that is there has a sandbox passed its test, and nothing runs without one.",
        "It waits. An operator sees on the host what is missing with `deltanas doctor`.",
    )


def _no_device(hosts: Sequence[RunnerCapabilities], wanted: Requirements) -> Obstacle:
    offered = sorted({device for host in hosts for device in host.devices})
    return Obstacle(
        "device",
        f"No host that is there offers the device {wanted.device}; offered: {', '.join(offered) or 'none'}.",
        "It waits for one. Cancel it, and ask for a device that is offered.",
    )


def _no_tier(hosts: Sequence[RunnerCapabilities], wanted: Requirements) -> Obstacle:
    least = next(tier for tier in IsolationTier if tier.strength >= wanted.tier_strength)
    strongest = max((host.tier for host in hosts if host.tier is not None), key=lambda tier: tier.strength)
    return Obstacle(
        "minimum_tier",
        f"It asks for the tier {least} at least, and the strongest of the hosts that could else run it "
        f"is {strongest}.",
        "It waits for a stronger host. Cancel it, and ask for a lower minimum_tier if you can accept that.",
    )


def _no_gpu_memory(hosts: Sequence[RunnerCapabilities], wanted: Requirements) -> Obstacle:
    largest = max(gpu_memory_of(host, wanted.device) for host in hosts)
    return Obstacle(
        "gpu_memory",
        f"It asks for {wanted.gpu_memory_bytes} bytes of GPU memory, and {wanted.device} has at most "
        f"{largest} on the hosts that could else run it.",
        "It waits for a larger GPU. Cancel it, and ask for a smaller minimum_gpu_memory_bytes.",
    )


def _no_threads(hosts: Sequence[RunnerCapabilities], wanted: Requirements) -> Obstacle:
    return Obstacle(
        "threads",
        f"It asks for {wanted.threads} threads, and the hosts that could else run it give an attempt at most "
        f"{max(map(most_threads, hosts))}.",
        "It waits for a larger host. Cancel it, and ask for fewer threads.",
    )


def _no_dataset(hosts: Sequence[RunnerCapabilities], wanted: Requirements) -> Obstacle:  # noqa: ARG001
    return Obstacle(
        "dataset",
        f"No host that could else run it has the data set {wanted.dataset} ready.",
        f"It waits. An operator prepares it there: deltanas datasets prepare {wanted.dataset}",
    )


_Meets = Callable[[RunnerCapabilities, Requirements], bool]
_Missing = Callable[[Sequence[RunnerCapabilities], Requirements], Obstacle]
_DEMANDS: tuple[tuple[_Meets, _Missing], ...] = (
    (_has_sandbox, _no_sandbox),
    (_has_device, _no_device),
    (_has_tier, _no_tier),
    (_has_gpu_memory, _no_gpu_memory),
    (_has_threads, _no_threads),
    (_has_dataset, _no_dataset),
)
