"""Looks for what an ancestor may have left it: shared pages, descriptors, groups, locks."""

import os
import stat

import torch

with open("/proc/self/maps") as file:
    for line in file:
        if line.split()[1][1::2] == "ws":
            print("BREACH shared and writable", line)
for name in sorted(os.listdir("/proc/self/fd"), key=int):
    try:
        found = os.fstat(int(name))
    except OSError:
        continue  # that of the listing itself
    print("TRIED", name, oct(found.st_mode))
    if int(name) > 4 or stat.S_ISSOCK(found.st_mode) or stat.S_ISBLK(found.st_mode) or stat.S_ISDIR(found.st_mode):
        print("BREACH descriptor", name, oct(found.st_mode))
with open("/proc/self/status") as file:
    status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
if set(status.get("Groups", "").split()) - {str(os.getgid())} or status.get("TracerPid", "0") != "0":
    print("BREACH", status.get("Groups"), status.get("TracerPid"))
if len(set(status["Uid"].split())) > 1 or len(set(status["Gid"].split())) > 1:
    print("BREACH users", status["Uid"], status["Gid"])
for path in ("/proc/locks", "/proc/net/unix"):
    try:
        with open(path) as file:
            rows = [line for line in file if "@" in line or "FLOCK" in line]
    except OSError:
        continue
    if rows:
        print("BREACH", path, rows[:3])
try:
    os.close(os.open("/dev/tty", os.O_RDWR))
    print("BREACH a terminal")
except OSError:
    pass


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
