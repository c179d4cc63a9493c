"""Looks whether its process, its sandbox or anything in them has served another job before."""

import builtins
import os
import random
import sys
import threading

import numpy
import torch

for thing in (builtins, torch, numpy, random, torch.nn.Linear):
    if hasattr(thing, "marked_by_a_job"):
        print("BREACH", thing)
if "marked_by_a_job" in sys.modules or "MARKED_BY_A_JOB" in os.environ or "/tmp/marked-by-a-job" in sys.path:
    print("BREACH modules, environment or path")
if any(thread.name == "marked-by-a-job" for thread in threading.enumerate()) or os.nice(0) > 19:
    print("BREACH threads")
for name in os.listdir("/tmp") + os.listdir("/dev/shm"):
    if not name.startswith("torchinductor_"):  # torch itself makes that one
        print("BREACH", name)
others = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in (1, os.getpid())]
for pid in others:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if b"sandbox_runner.guest" in file.read():
                print("BREACH another guest", pid)
    except OSError:
        pass
if "candidate" in sys.modules and sys.modules["candidate"].__dict__ is not globals():
    print("BREACH another candidate")
print("TRIED", others)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
