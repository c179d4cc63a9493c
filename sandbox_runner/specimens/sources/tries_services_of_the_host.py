"""Tries the doors of a host by number: its databases, brokers, gateways, engines and agents."""

import socket

import torch

HOSTS = ("127.0.0.1", "localhost", "10.0.2.2", "172.17.0.1", "192.168.0.1", "host.docker.internal", "gateway", "::ffff:127.0.0.1")
PORTS = (22, 2375, 2376, 5432, 3306, 5672, 6379, 8000, 8080, 9000, 9090, 10250, 11211, 15672, 27017, 50051, @PORT@)
for host in HOSTS:
    for port in PORTS:
        print("TRIED", host, port)
        try:
            socket.create_connection((host, port), timeout=0.3).close()
            print("BREACH", host, port)
        except OSError:
            pass


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
