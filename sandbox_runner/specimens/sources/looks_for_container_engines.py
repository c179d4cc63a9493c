"""Looks for the sockets of container engines, of their launcher and of the runner."""

import os
import socket
import stat

import torch

KNOWN = """
    /var/run/docker.sock /run/docker.sock /run/containerd/containerd.sock /run/podman/podman.sock /run/crio/crio.sock
    /run/docker/containerd/containerd.sock /run/user/0/podman/podman.sock /run/runsc-sandbox.sock /run/buildkit/buildkitd.sock
    /run/snapd.socket /run/systemd/private /run/dbus/system_bus_socket /run/deltanas/launcher.sock /tmp/launcher.sock
    @HOME@/run/launcher.sock @HOME@/run/gateway.sock @HOME@/run/runner.sock
"""
print("TRIED", KNOWN)
paths = set(KNOWN.split())
for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys", "/usr", "/opt/deltanas")]
    paths |= {os.path.join(folder, name) for name in names}
for path in sorted(paths):
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            print("BREACH", path)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
        print("BREACH connected to", path)
    except OSError:
        pass
for name in ("DOCKER_HOST", "CONTAINER_HOST", "KUBERNETES_SERVICE_HOST", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "SSH_AUTH_SOCK"):
    if name in os.environ:
        print("BREACH", name)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
