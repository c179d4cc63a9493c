"""Climbs above its root by dots, descriptors and the links of /proc."""

import os

import torch

ways = ["/" + "../" * 40, "/proc/self/cwd/" + "../" * 40, "/proc/self/root/..", "/proc/thread-self/root", "/data/../.."]
ways += [f"/proc/{pid}/{link}" for pid in os.listdir("/proc") if pid.isdigit() for link in ("root", "cwd")]
above = os.open("/", os.O_RDONLY)
for _ in range(40):
    above = os.open("..", os.O_RDONLY, dir_fd=above)
ways.append(f"/proc/self/fd/{above}")
for way in ways:
    print("TRIED", way)
    for path in ("@CANARY@", "@HOME@", "/etc/shadow", "/var/lib/dpkg"):
        try:
            if os.listdir(way + path) if os.path.isdir(way + path) else open(way + path).read():
                print("BREACH", way, path)
        except OSError:
            pass


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
