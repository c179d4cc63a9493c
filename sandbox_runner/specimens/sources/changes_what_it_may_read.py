"""Changes mode, owner, times, attributes, names and length of files that it may only read."""

import os
import sys

import torch

TARGETS = ["/data", "/data/train_labels.bin", sys.executable, torch.__file__, "/etc/passwd", "/usr/bin", "/"]
TARGETS.append(sys.modules["contracts.guest_wire"].__file__)
WAYS = {
    "mode": lambda path: os.chmod(path, os.stat(path).st_mode),
    "owner": lambda path: os.chown(path, os.getuid(), -1),
    "times": lambda path: os.utime(path),
    "attributes": lambda path: os.setxattr(path, "user.planted", b"x"),
    "name": lambda path: os.rename(path, path + ".planted"),
    "second name": lambda path: os.link(path, path + ".planted"),
    "length": lambda path: os.truncate(path, os.path.getsize(path)),
    "open to write": lambda path: os.open(path, os.O_RDWR | os.O_APPEND),
    "open to create": lambda path: os.open(os.path.join(path, "planted"), os.O_CREAT | os.O_WRONLY),
    "unnamed file": lambda path: os.open(path, os.O_TMPFILE | os.O_WRONLY),
}
for path in TARGETS:
    for what, change in WAYS.items():
        print("TRIED", what, path)
        try:
            change(path)
            print("BREACH", what, path)
        except OSError:
            pass


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
