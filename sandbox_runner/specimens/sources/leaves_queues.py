"""Leaves message queues, semaphores, named shared memory and a listening socket for a next job."""

import ctypes
import os
import socket

import torch

libc = ctypes.CDLL(None, use_errno=True)
KEY = 0x44454C55
print("TRIED", libc.semget(KEY, 1, 0o1666), libc.msgget(KEY, 0o1666), libc.shmget(KEY, 4096, 0o1666))
for name in ("sem.left-by-a-job", "left-by-a-job", "psm_left-by-a-job"):
    with open(f"/dev/shm/{name}", "wb") as file:
        file.write(bytes(32))
try:
    print("TRIED", libc.mq_open(b"/left-by-a-job", os.O_CREAT | os.O_RDWR, 0o666, None))
except AttributeError:
    print("TRIED", libc.syscall(240, b"left-by-a-job", os.O_CREAT | os.O_RDWR, 0o666, None))
listening = socket.socket(socket.AF_UNIX)
listening.bind("/tmp/left-by-a-job.sock")
listening.listen()


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
