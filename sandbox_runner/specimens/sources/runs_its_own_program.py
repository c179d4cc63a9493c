"""Writes programs of its own, into memory and to disk, that make forbidden calls."""

import os
import platform
import struct

import torch


def program(number, first, second):
    """An ELF file that makes one call and exits with 77 when it worked."""
    code = b"\xb8" + struct.pack("<I", number) + b"\xbf" + struct.pack("<I", first) + b"\xbe" + struct.pack("<I", second)
    code += b"\x31\xd2\x0f\x05"  # edx = 0; syscall
    code += b"\x31\xff\x85\xc0\x78\x05\xbf\x4d\x00\x00\x00"  # edi = 0; if (eax >= 0) edi = 77
    code += b"\xb8\x3c\x00\x00\x00\x0f\x05"  # exit(edi)
    start = 0x400000
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, start + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, 120 + len(code), 120 + len(code), 4096) + code


CALLS = {"unshare": (272, 0x10000000, 0), "socket": (41, 2, 1), "bpf": (321, 0, 0), "exit": (39, 0, 0)}
for name, call in CALLS.items():
    in_memory = os.memfd_create("own", 0)
    os.write(in_memory, program(*call))
    with open("/tmp/own", "wb") as file:
        file.write(program(*call))
    os.chmod("/tmp/own", 0o755)
    for path in (f"/proc/self/fd/{in_memory}", "/tmp/own"):
        if os.fork() == 0:
            try:
                os.execve(path, ["own"], {})
            finally:
                os._exit(0)
        status = os.wait()[1]
        print("TRIED", name, path, status)
        if name != "exit" and os.WIFEXITED(status) and os.WEXITSTATUS(status) == 77:
            print("BREACH", name, path)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
