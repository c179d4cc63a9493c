"""Opens sockets of every family and kind: netlink, packets, cryptography, radio."""

import socket

import torch

KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET, 4)
for family in range(48):
    if family == socket.AF_UNIX:
        continue
    for kind in KINDS:
        for protocol in range(23) if family == socket.AF_NETLINK else (0, 3, 58, 132, 0x300):
            try:
                socket.socket(family, kind, protocol).close()
                print("BREACH", family, kind, protocol)
            except OSError:
                pass
    try:
        socket.socketpair(family, socket.SOCK_STREAM)
        print("BREACH a pair of", family)
    except (OSError, ValueError):
        pass
    print("TRIED", family)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
