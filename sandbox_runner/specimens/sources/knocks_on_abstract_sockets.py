"""Knocks on the abstract sockets of the host: its own, containerd's, X11's, the session bus'."""

import socket

import torch

NAMES = ("@ABSTRACT@", "/containerd-shim/moby/shim.sock", "/tmp/.X11-unix/X0", "/tmp/dbus-session", "/org/kernel/linux/storage/multipathd")
for name in NAMES:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        print("TRIED", name, kind)
        with socket.socket(socket.AF_UNIX, kind) as knocking:
            if knocking.connect_ex("\0" + name) == 0:
                print("BREACH", name)
with open("/proc/net/unix") as file:
    if "@ABSTRACT@" in file.read():
        print("BREACH it sees them in /proc/net/unix")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
