"""Looks for what else is installed on the host, and reaches for its kernel through files that both see."""

import fcntl
import importlib.util
import os
import resource
import socket

import torch

for name in ("pytest", "fastapi", "sqlalchemy", "sklearn", "datasets", "deltanas"):
    print("TRIED import", name)
    if importlib.util.find_spec(name) is not None:
        print("BREACH import", name)
for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if (folder, name) not in (("/", "proc"), ("/opt", "deltanas"))]
    inside = folder.rpartition("/")[2]
    if inside in ("site-packages", "dist-packages", "node_modules", "site-library") and folders + names:
        print("BREACH", folder)


def attempt(what, action):
    print("TRIED", what)
    try:
        action()
    except (OSError, ValueError):
        return
    print("BREACH", what)


images = os.open("/data/train_images.bin", os.O_RDONLY)
ours, theirs = socket.socketpair()
attempt("core dumps", lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
attempt("a lease", lambda: fcntl.fcntl(images, fcntl.F_SETLEASE, fcntl.F_RDLCK))
attempt("a notification", lambda: fcntl.fcntl(os.open("/usr/bin", os.O_RDONLY), fcntl.F_NOTIFY, 4))
attempt("an alarm", lambda: os.write(os.open("/proc/pressure/cpu", os.O_RDWR), b"some 1000000 2000000"))
SO_DETACH_FILTER = 27
try:
    ours.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
except PermissionError:
    print("TRIED packet filters")
except OSError:
    print("BREACH packet filters")
print("TRIED the boot command")
try:
    if open("/proc/cmdline").read(16).strip():  # an engine's mask opens, and is empty
        print("BREACH the boot command")
except OSError:
    pass


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
