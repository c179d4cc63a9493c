"""Looks for message queues, semaphores, named shared memory and sockets of another job."""

import ctypes
import os

import torch

libc = ctypes.CDLL(None, use_errno=True)
KEY = 0x44454C55
found = {"semaphores": libc.semget(KEY, 1, 0), "messages": libc.msgget(KEY, 0), "memory": libc.shmget(KEY, 4096, 0)}
found["queue"] = libc.syscall(240, b"left-by-a-job", os.O_RDWR, 0, None)
for name, result in found.items():
    print("TRIED", name, result)
    if result >= 0:
        print("BREACH", name)
for folder in ("/dev/shm", "/tmp", "/dev/mqueue", "/run/lock", "/var/tmp"):
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if not name.startswith("torchinductor_"):  # torch itself makes that one
            print("BREACH", folder, name)
for name in ("shm", "sem", "msg"):
    try:
        with open(f"/proc/sysvipc/{name}") as file:
            if len(file.readlines()) > 1:
                print("BREACH /proc/sysvipc", name)
    except OSError:
        pass


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
