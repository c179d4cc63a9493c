"""The policy of `system_calls` in the two forms that something loads.

`compile_filter` makes classic BPF, which a sandbox's first process loads into itself and the guest.
`docker_profile` makes the JSON that a container engine loads before that. The profiles of `deploy/` are
written by

    python -m sandbox_runner.sandboxes.seccomp deploy
"""

import errno
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandbox_runner.sandboxes.port import SandboxUnavailable
from sandbox_runner.sandboxes.system_calls import POINTER, Condition, container_policy, guest_policy

try:
    import pyseccomp
except (ImportError, RuntimeError, OSError) as error:  # it looks for the C library when imported
    IMPORT_PROBLEM: str | None = f"libseccomp cannot be used ({error}); apt-get install libseccomp2"
else:
    IMPORT_PROBLEM = None

ARCHITECTURES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")
"""Whichever of them is the machine's own, without the other instruction sets it could run."""
PROFILES = {"seccomp.json": False, "seccomp-gpu.json": True}
"""File names of the profiles, and whether each is for a sandbox with a GPU."""


def compile_filter(gpu: bool = False) -> bytes:
    """The guest's policy as classic BPF, for the machine's native architecture.

    Raises SandboxUnavailable when libseccomp is missing.
    """
    if IMPORT_PROBLEM:
        raise SandboxUnavailable(IMPORT_PROBLEM)
    policy = guest_policy(gpu)
    program = pyseccomp.SyscallFilter(pyseccomp.ERRNO(policy.refused))
    program.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    for name in sorted(name for names in policy.allowed.values() for name in names):
        if _exists(name):
            program.add_rule(pyseccomp.ALLOW, name)
    for name in policy.absent:
        if _exists(name):
            program.add_rule(pyseccomp.ERRNO(errno.ENOSYS), name)
    for rule in policy.restricted:
        program.add_rule(pyseccomp.ALLOW, rule.call, *map(_bpf_argument, rule.conditions))
    return _export(program)


def docker_profile(gpu: bool = False) -> dict[str, Any]:
    """The container's policy as a seccomp profile of Docker, complete and the same on every machine.

    Calls that an architecture lacks are passed over by the engine. Other instruction sets than the machine's
    own are not in the filter, and a call through them ends whoever makes it.
    """
    policy = container_policy(gpu)
    allow = "SCMP_ACT_ALLOW"
    calls: list[dict[str, Any]] = [
        {"comment": purpose, "names": sorted(names), "action": allow}
        for purpose, names in policy.allowed.items()
    ]
    calls += [
        {"names": [rule.call], "action": allow, "args": [_docker_argument(one) for one in rule.conditions]}
        for rule in policy.restricted
    ]
    calls.append({"names": list(policy.absent), "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": policy.refused,
        "archMap": [{"architecture": name, "subArchitectures": []} for name in ARCHITECTURES],
        "syscalls": calls,
    }


def profile_text(gpu: bool) -> str:
    """The profile as `deploy/` holds it."""
    return json.dumps(docker_profile(gpu), indent=2) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Write every profile into the folder that is named."""
    for name, gpu in PROFILES.items():
        (Path(arguments[0]) / name).write_text(profile_text(gpu))


def _bpf_argument(condition: Condition) -> "pyseccomp.Arg":
    return pyseccomp.Arg(condition.argument, pyseccomp.MASKED_EQ, condition.mask, condition.value)


def _docker_argument(condition: Condition) -> dict[str, Any]:
    """For a masked comparison `value` is the mask and `valueTwo` what is compared with."""
    if condition.mask == POINTER:
        return {"index": condition.argument, "value": condition.value, "op": "SCMP_CMP_EQ"}
    return {
        "index": condition.argument,
        "value": condition.mask,
        "valueTwo": condition.value,
        "op": "SCMP_CMP_MASKED_EQ",
    }


def _exists(name: str) -> bool:
    """Whether this architecture has the call: aarch64, for one, lacks `open` and `fork`."""
    return pyseccomp.resolve_syscall(pyseccomp.system_arch(), name) >= 0


def _export(program: "pyseccomp.SyscallFilter") -> bytes:
    # In memory: of a filter that a full disk has cut short nobody would know what it lets through.
    with open(os.memfd_create("filter", os.MFD_CLOEXEC), "r+b", buffering=0) as file:
        program.export_bpf(file)
        file.seek(0)
        return file.read()


if __name__ == "__main__":
    main(sys.argv[1:])
