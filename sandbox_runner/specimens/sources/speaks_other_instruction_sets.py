"""Makes forbidden calls with the numbers of i386 and of x32, in machine code of its own."""

import ctypes
import mmap
import os
import platform

import torch


def call_i386(number, first, second):
    return b"\x53\xb8" + number.to_bytes(4, "little") + b"\xbb" + first.to_bytes(4, "little") + (
        b"\xb9" + second.to_bytes(4, "little") + b"\x31\xd2\xcd\x80\x5b\xc3"
    )


def call_x32(number, first, second):
    number |= 0x40000000
    return b"\xb8" + number.to_bytes(4, "little") + b"\xbf" + first.to_bytes(4, "little") + (
        b"\xbe" + second.to_bytes(4, "little") + b"\x31\xd2\x0f\x05\xc3"
    )


CODES = {
    "i386 unshare": call_i386(310, 0x10000000, 0),
    "i386 socket": call_i386(359, 2, 1),
    "i386 ptrace": call_i386(26, 0, 0),
    "i386 personality": call_i386(136, 0, 0),
    "x32 unshare": call_x32(272, 0x10000000, 0),
    "x32 socket": call_x32(41, 2, 1),
    "x32 personality": call_x32(135, 0, 0),
}
for name, code in CODES.items():
    if os.fork() == 0:
        try:
            page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            page.write(code)
            run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
            os._exit(77 if platform.machine() == "x86_64" and run() >= 0 else 0)
        finally:
            os._exit(0)
    status = os.wait()[1]
    print("TRIED", name, status)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 77:
        print("BREACH", name)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
