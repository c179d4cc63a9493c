"""A container engine of our own for whole farms, in a network namespace: its rules and bridges stay there.

Images are built while the engine is in this machine's network, where packages are; then it starts anew, over
the same folder, in a namespace. `Door` leads into that from here.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

START_SECONDS = 120
CLONE_NEWNET = 0x40000000
OPTIONS = ("--storage-driver=overlay2",)
WITHOUT_NETWORK = ("--iptables=false", "--ip6tables=false", "--bridge=none")
CLIENTS = ("/usr/libexec/docker/cli-plugins/docker-compose", "/usr/lib/docker/cli-plugins/docker-compose")


def compose_program():
    """The command of a Compose of today (version 2), or None: 1.29 does not read these files."""
    for command in (*CLIENTS, "docker-compose"):
        found = shutil.which(command)
        said = (
            subprocess.run([found, "version", "--short"], capture_output=True, text=True) if found else None
        )
        if said is not None and said.returncode == 0 and said.stdout.strip().lstrip("v").startswith("2"):
            return found
    return None


def missing():
    """Why this machine cannot test a farm in containers; empty when it can."""
    if os.geteuid() != 0:
        return "starting an engine of our own needs root"
    programs = {
        "dockerd": "docker.io",
        "debootstrap": "debootstrap",
        "iptables": "iptables",
        "ip": "iproute2",
    }
    absent = [f"{name} ({package})" for name, package in programs.items() if not shutil.which(name)]
    if compose_program() is None:
        absent.append("docker-compose 2 (bash deploy/system-packages.sh compose)")
    return f"not installed: {', '.join(absent)}" if absent else ""


class Engine:
    """One dockerd in a folder of its own."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.address = f"unix://{self.folder}/docker.sock"
        self.process = None

    def start(self, own_network):
        enter = ("unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh") if own_network else ()
        network = () if own_network else WITHOUT_NETWORK
        (self.folder / "docker.sock").unlink(missing_ok=True)
        with (self.folder / "dockerd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "TERM", "--"),
                    *(*enter, "dockerd", "-H", self.address, *OPTIONS, *network),
                    *("--data-root", self.folder / "data", "--exec-root", self.folder / "exec"),
                    *("--pidfile", self.folder / "docker.pid"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while self.command("version", check=False).returncode:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "dockerd.log").read_text()[-3000:])
            time.sleep(0.2)

    def command(self, *words, check=True, **options):
        """What the engine's client says."""
        command = ["docker", "-H", self.address, *words]
        return subprocess.run(command, capture_output=True, text=True, check=check, **options)

    def lines(self, *words):
        return self.command(*words).stdout.splitlines()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        self.process = None

    def remove(self):
        """With all that it has stored."""
        self.stop()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                if words and b"containerd" in words[0] and any(bytes(self.folder) in word for word in words):
                    os.kill(int(entry.name), signal.SIGKILL)
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in sorted((one for one in mounts if one.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class Door:
    """A port of this machine that leads to one of the engine's network. Passes bytes on as they come."""

    def __init__(self, engine, port):
        self._engine = engine
        self._there = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        # A thread of Linux can be in another network than its process.
        network = os.open(f"/proc/{self._engine.process.pid}/ns/net", os.O_RDONLY)
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(near, network), daemon=True).start()
        os.close(network)

    def _carry(self, near, network):
        if ctypes.CDLL(None, use_errno=True).setns(network, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            far = socket.create_connection(self._there, 10)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        threading.Thread(target=_pass_on, args=(near, far), daemon=True).start()
        _pass_on(far, near)


def _pass_on(source, target):
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def make_base(engine, name, pip_configuration):
    """A Debian that knows how this place gets at packages, as docs/deploying.md makes one."""
    with tempfile.TemporaryDirectory(prefix="deltanas-base-") as folder:
        root = Path(folder) / "root"
        script = (
            "mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages'"
            " | sed -n 's/^bookworm //p' | head -1)\n"
            f'debootstrap --variant=minbase --include=ca-certificates bookworm {root} "$mirror"\n'
        )
        _run(["bash", "-euc", script])
        for authority in Path("/usr/local/share/ca-certificates").glob("*.crt"):
            shutil.copy(authority, root / "usr/local/share/ca-certificates")
        _run(["chroot", root, "update-ca-certificates"])
        (root / "etc/pip.conf").write_text(pip_configuration)
        shutil.rmtree(root / "var/cache/apt/archives")
        archive = Path(folder) / "root.tar"
        _run(["tar", "-C", root, "--one-file-system", "-cf", archive, "."])
        engine.command("import", str(archive), name)


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout[-1000:]} {done.stderr[-2000:]}"
