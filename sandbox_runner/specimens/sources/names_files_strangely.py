"""Leaves files whose names are options, escapes, no Unicode, or as long as a name may be."""

import os

import torch

NAMES = [b"-rf", b"--", b"*", b"$(reboot)", b"\x1b[2J\x07", b"\xff\xfe", b"a\nb", b" ", b"'; rm -rf /;'", b"..."]
NAMES += [b"n" * 255, "\u202e\u2028".encode(), b"%n%s", b"\x01\x02"]
for name in NAMES:
    for folder in (b"/tmp", b"/dev/shm"):
        os.makedirs(os.path.join(folder, name, name), exist_ok=True)
        print("TRIED", name)
for name in (b"../../escaped", b"/tmp/../../escaped"):
    try:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
        print("BREACH", name)
    except OSError:
        pass


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
