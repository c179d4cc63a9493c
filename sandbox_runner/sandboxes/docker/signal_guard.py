"""A small filter of system calls that keeps a guest from signalling process 1 where the kernel would let it.

Linux spares the first process of a process namespace whatever its children send it; gVisor's kernel does not.
"""

import errno
import os
import tempfile

import pyseccomp

SIGNALS_BY_PROCESS = ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open")
FIRST_PROCESS = 1


def compile_signal_guard() -> bytes:
    """Classic BPF that refuses the calls above for process 1 and leaves everything else to other filters."""
    program = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    process = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, 0xFFFFFFFF, FIRST_PROCESS)
    for call in SIGNALS_BY_PROCESS:
        program.add_rule(pyseccomp.ERRNO(errno.EPERM), call, process)
    with tempfile.TemporaryFile() as file:
        program.export_bpf(file)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        return file.read()
