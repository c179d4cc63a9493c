"""What one agent lends of all that its runner has."""

from dataclasses import replace

from contracts.dispatch import Resource
from contracts.jobs import RunnerCapabilities


def lent_by(resource: Resource | None, offered: RunnerCapabilities) -> RunnerCapabilities:
    """The capabilities of an agent that lends this resource alone; one that lends everything has all of them.

    A GPU serves one attempt at a time, so an agent that lends GPUs has at most one slot for each.
    """
    if resource is None:
        return offered
    devices = tuple(device for device in offered.devices if resource.offers(device))
    if resource is Resource.CPU:
        return replace(offered, devices=devices, gpu_memory_bytes=())
    gpus = sum(":" in device for device in devices)  # `cuda` stands for any of them
    return replace(offered, devices=devices, slots=min(offered.slots, gpus))
