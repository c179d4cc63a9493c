"""Opens every device that it finds or knows by name: memory, disks, virtual machines, tunnels."""

import os
import stat

import torch

HARMLESS = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9)}  # null, zero, full, random, urandom
TERMINALS = {5, 136}
KNOWN = "mem kmem port kmsg kvm fuse loop-control loop0 net/tun vhost-net vhost-vsock uinput sda vda vda1 nvme0n1 cpu/0/msr"
KNOWN += " mapper/control rtc0 hpet watchdog userfaultfd btrfs-control vfio/vfio dri/card0 nvidiactl nvidia0 nvidia-uvm snapshot"
paths = {f"/dev/{name}" for name in KNOWN.split()}
paths |= {os.path.join(folder, name) for folder, _, names in os.walk("/dev") for name in names}
for path in sorted(paths):
    print("TRIED", path)
    try:
        found = os.stat(path)
        number = (os.major(found.st_rdev), os.minor(found.st_rdev))
        if stat.S_ISCHR(found.st_mode) and (number in HARMLESS or number[0] in TERMINALS):
            continue
        if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            print("BREACH", path, number)
    except OSError:
        pass


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
