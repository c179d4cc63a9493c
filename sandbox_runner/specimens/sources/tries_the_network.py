"""Tries to reach anything at all, by every family of sockets."""

import socket

import torch

TARGETS = [
    (socket.AF_INET, ("127.0.0.1", @PORT@)),
    (socket.AF_INET, ("169.254.169.254", 80)),
    (socket.AF_INET, ("1.1.1.1", 443)),
    (socket.AF_INET6, ("::1", @PORT@)),
    (socket.AF_UNIX, "\0@ABSTRACT@"),
    (socket.AF_UNIX, "/var/run/docker.sock"),
    (socket.AF_UNIX, "/run/containerd/containerd.sock"),
    (socket.AF_VSOCK, (2, 1024)),
]
for family, address in TARGETS:
    print("TRIED", address)
    try:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(1)
            connection.connect(address)
        print("BREACH", address)
    except OSError:
        pass
try:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"x", ("1.1.1.1", 53))
    print("BREACH UDP")
except OSError:
    pass
for family in (socket.AF_PACKET, socket.AF_INET):
    try:
        socket.socket(family, socket.SOCK_RAW).close()
        print("BREACH raw socket", family)
    except OSError:
        pass
try:
    print("BREACH", socket.getaddrinfo("example.com", 80))
except OSError:
    pass


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
