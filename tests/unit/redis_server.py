"""A real Redis of the tests' own: on a free port of this machine, with its memory as its only storage."""

import random
import shutil
import socket
import subprocess
from contextlib import suppress

from processes import until
from redis import Redis
from redis.exceptions import RedisError

HINT = "no redis-server here: `bash deploy/system-packages.sh redis` installs it"


class RedisServer:
    """Start, kill and start it again on the same port; what it held is gone then."""

    def __init__(self, folder, password=""):
        self._folder = folder
        self._password = password
        self.port = _free_port()
        self.process = None

    @property
    def url(self):
        secret = f":{self._password}@" if self._password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    def start(self):
        program = shutil.which("redis-server")
        assert program, HINT
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        command += ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
        if self._password:
            command += ["--requirepass", self._password]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until(self._answers, 30, "Redis answers")
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def client(self):
        return Redis.from_url(self.url, decode_responses=True)

    def waiting(self, queue):
        """How many messages are in a queue and nobody has taken yet."""
        with self.client() as client:
            return client.llen(queue)

    def _answers(self):
        assert self.process.poll() is None, "Redis ended"
        with suppress(RedisError), self.client() as client:
            return client.ping()
        return False


def _free_port():
    """None that the kernel gives to outgoing connections: while the server is dead, one would take it."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
