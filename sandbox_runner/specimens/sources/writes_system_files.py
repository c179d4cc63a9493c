"""Writes where only the system may."""

import os

import torch

TARGETS = [
    "/etc/passwd", "/etc/planted", "/usr/planted", "/planted", "/data/planted", "/data/train_labels.bin",
    "/dev/planted", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/fs/cgroup/release_agent",
    "/sys/kernel/uevent_helper", "/proc/sys/vm/overcommit_memory",
    "/opt/deltanas/source/sandbox_runner/guest/planted.py",
    os.path.join(os.path.dirname(torch.__file__), "planted.py"),
]
for path in TARGETS:
    print("TRIED", path)
    try:
        with open(path, "ab") as file:
            file.write(b"x")
            file.flush()
        print("BREACH", path)
    except OSError:
        pass


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
