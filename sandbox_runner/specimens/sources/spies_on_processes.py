"""Reads memory, environments and descriptors of whatever else it can see."""

import os

import torch

SECRETS = ("DELTANAS", "@SECRET@", "TOKEN", "PASSWORD")
pids = [name for name in os.listdir("/proc") if name.isdigit()]
print("TRIED", pids)
if len(pids) > 4:
    print("BREACH sees", len(pids), "processes")
for pid in pids:
    try:
        text = open(f"/proc/{pid}/environ", "rb").read().decode("utf-8", "replace")
    except OSError:
        continue
    if any(word in text for word in SECRETS):
        print("BREACH environment of", pid)
for path in ("/proc/1/mem", "/proc/1/root/root", *(f"/proc/1/fd/{number}" for number in range(16))):
    for mode in (os.O_RDONLY, os.O_WRONLY):
        try:
            os.close(os.open(path, mode | os.O_NONBLOCK))
            print("BREACH", path, mode)
        except OSError:
            pass
if any(word in name for name in os.environ for word in SECRETS):
    print("BREACH own environment")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
