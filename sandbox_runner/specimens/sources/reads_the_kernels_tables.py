"""Reads addresses, keys, sockets and messages of the host's kernel from /proc and /sys."""

import glob
import os
import re

import torch


def text_of(path):
    print("TRIED", path)
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace")
    except OSError:
        return ""


for path in ("/proc/kallsyms", "/proc/modules", "/proc/iomem", "/proc/ioports", "/proc/vmallocinfo", "/proc/timer_list"):
    if re.search(r"\b(?:0x)?[0-9a-f]*[1-9a-f][0-9a-f]{7,}\b", text_of(path)):
        print("BREACH addresses in", path)
for path in ("/proc/kcore", "/proc/kmsg", "/proc/keys", "/proc/cmdline", "/proc/sched_debug", "/proc/mtrr", "/proc/slabinfo"):
    if text_of(path).strip("\0 \n"):
        print("BREACH", path)
for path in ("/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/unix", "/proc/net/arp", "/proc/net/route"):
    text = text_of(path)
    if "@ABSTRACT@" in text or f":{@PORT@:04X}" in text or "0.0.0.0:" in text:
        print("BREACH", path)
for path in ("/sys/kernel/debug", "/sys/kernel/security", "/sys/firmware", "/sys/fs/bpf", "/sys/kernel/tracing", "/proc/bus"):
    print("TRIED", path)
    try:
        if os.listdir(path):
            print("BREACH", path)
    except OSError:
        pass
for path in glob.glob("/sys/kernel/notes") + glob.glob("/sys/module/*/sections/.text"):
    if text_of(path).strip("0x\n\0"):
        print("BREACH", path)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
