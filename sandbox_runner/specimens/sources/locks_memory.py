"""Locks more memory than it may, so that the host cannot move it."""

import ctypes
import mmap
import os
import resource

import torch

MLOCK_ONFAULT, MCL_CURRENT = 1, 1
libc = ctypes.CDLL(None, use_errno=True)
room = mmap.mmap(-1, 256 << 20)
address = ctypes.addressof(ctypes.c_char.from_buffer(room))
for name, locked in {
    "mlock": libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(256 << 20)),
    "mlock2": libc.mlock2(ctypes.c_void_p(address), ctypes.c_size_t(256 << 20), MLOCK_ONFAULT),
    "mlockall": libc.mlockall(MCL_CURRENT),
}.items():
    print("TRIED", name, os.strerror(ctypes.get_errno()))
    if locked == 0:
        print("BREACH", name)
if resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] > 64 << 20:
    print("BREACH", resource.getrlimit(resource.RLIMIT_MEMLOCK))


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
