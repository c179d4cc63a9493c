"""The launcher's relay: the engine's stream on one side, three pipes on the other, all of it hostile."""

import errno
import os
import socket
import struct
import time

import pytest

from sandbox_runner.sandboxes.docker.process_one import ANSWERS, HEADER, OUTPUT, REPORT
from sandbox_runner.sandboxes.docker.relay import (
    MAX_FRAME_BYTES,
    MOST_WAITING_BYTES,
    STDERR,
    STDOUT,
    Deframer,
    FrameBroken,
    Relay,
)
from sandbox_runner.sandboxes.port import Exit


def engine_frame(channel, payload):
    return struct.pack(">BxxxI", channel, len(payload)) + payload


def frame(kind, payload=b""):
    return engine_frame(STDOUT, HEADER.pack(kind, len(payload)) + payload)


class Scene:
    """A relay, and the engine that it speaks with."""

    def __init__(self, first_bytes=b""):
        self.engine, stream = socket.socketpair()
        self.relay = Relay(stream, first_bytes)
        self.relay.start()

    def says(self, *frames):
        for one in frames:
            self.engine.sendall(one)

    def read(self, descriptor, seconds=5.0):
        """What comes out of a pipe until its end; None when it stays open."""
        text = b""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                chunk = os.read(descriptor, 65_536)
            except BlockingIOError:
                time.sleep(0.005)
                continue
            if not chunk:
                return text
            text += chunk
        return None

    def close(self):
        self.relay.close()
        self.engine.close()


@pytest.fixture
def scene():
    made = Scene()
    yield made
    made.close()


def eventually(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_nothing_goes_into_the_container_before_its_accounts_are_known():
    scene = Scene(b"setup")
    try:
        os.write(scene.relay.to_guest, b"work")
        scene.says(frame(ANSWERS, b"a"), frame(ANSWERS))  # so the relay has turned meanwhile
        assert scene.read(scene.relay.from_guest) == b"a"
        scene.engine.setblocking(False)
        with pytest.raises(BlockingIOError):
            scene.engine.recv(100)
    finally:
        scene.close()


def test_first_bytes_come_before_what_the_host_writes():
    scene = Scene(b"setup")
    os.write(scene.relay.to_guest, b"job")
    scene.relay.let_in()
    received = b""
    while len(received) < 8:
        received += scene.engine.recv(100)
    scene.close()
    assert received == b"setupjob"


def test_answers_and_output_reach_their_pipes_and_end_with_the_guest(scene):
    scene.says(frame(REPORT, b"started"), frame(ANSWERS, b"answer"), frame(OUTPUT, b"text"))
    scene.says(frame(REPORT, b"exited 7"))
    assert scene.read(scene.relay.from_guest) == b"answer"
    assert scene.read(scene.relay.output) == b"text"
    assert eventually(lambda: scene.relay.ended == Exit(7, None))


def test_end_is_told_only_when_everything_is_handed_over(scene):
    scene.says(frame(REPORT, b"started"))
    for _ in range(8):
        scene.says(frame(ANSWERS, bytes(MAX_FRAME_BYTES)))
    scene.says(frame(REPORT, b"signalled 9"))
    time.sleep(0.1)
    assert scene.relay.ended is None
    assert len(scene.read(scene.relay.from_guest)) == 8 * MAX_FRAME_BYTES
    assert eventually(lambda: scene.relay.ended == Exit(None, 9))


def test_pipe_that_the_guest_closed_ends_and_the_other_does_not(scene):
    scene.says(frame(REPORT, b"started"), frame(ANSWERS, b""), frame(OUTPUT, b"still here"))
    assert scene.read(scene.relay.from_guest) == b""
    assert scene.read(scene.relay.output, seconds=0.2) is None
    assert scene.relay.ended is None


def test_frames_may_arrive_in_any_portions(scene):
    for byte in frame(REPORT, b"started") + frame(OUTPUT, b"text") + frame(REPORT, b"exited 0"):
        scene.says(bytes([byte]))
    assert scene.read(scene.relay.output) == b"text"
    assert eventually(lambda: scene.relay.ended == Exit(0, None))


def test_reports_in_the_output_of_a_guest_are_output(scene):
    forged = frame(REPORT, b"exited 0") + b"exited 0\nfailed the platform\n"
    scene.says(frame(REPORT, b"started"), frame(OUTPUT, forged), frame(REPORT, b"exited 3"))
    assert scene.read(scene.relay.output) == forged
    assert eventually(lambda: scene.relay.ended == Exit(3, None))


def test_failed_start_is_told_with_its_reason(scene):
    scene.says(frame(REPORT, b"failed FileNotFoundError: nothing there"))
    assert scene.relay.started.wait(5)
    assert scene.relay.failure == "FileNotFoundError: nothing there"


@pytest.mark.parametrize(
    "forged",
    [
        frame(REPORT, b"failed the platform"),
        frame(REPORT, b"started"),
        frame(REPORT, b"exited -1"),
        frame(REPORT, b"exited 0x10"),
        frame(REPORT, b"\xff\x00"),
        frame(b"X", b"who am I"),
        engine_frame(STDOUT, HEADER.pack(ANSWERS, MAX_FRAME_BYTES + 1)),
        engine_frame(STDOUT, b"\xff" * 64),
        frame(REPORT, b"exited 0") + frame(ANSWERS, b"more"),
        frame(REPORT, b"exited 0") + frame(REPORT, b"exited 1"),
    ],
)
def test_stream_that_process_one_never_writes_breaks_the_sandbox_and_is_no_failed_start(scene, forged):
    scene.says(frame(REPORT, b"started"))
    assert scene.relay.started.wait(5)
    scene.says(forged)
    assert eventually(lambda: scene.relay.broken)
    assert scene.relay.failure == ""


def test_end_of_the_stream_without_a_report_is_a_loss_with_the_words_of_the_runtime(scene):
    scene.says(engine_frame(STDERR, b"runtime: no space left"))
    scene.engine.shutdown(socket.SHUT_RDWR)
    assert scene.relay.lost.wait(5)
    assert scene.relay.started.is_set()
    assert scene.relay.complaint == "runtime: no space left"


def test_complaints_are_bounded(scene):
    for _ in range(100):
        scene.says(engine_frame(STDERR, b"x" * 10_000))
    scene.engine.shutdown(socket.SHUT_RDWR)
    assert scene.relay.lost.wait(5)
    assert len(scene.relay.complaint) <= 2000


def test_flood_waits_in_the_stream_not_in_the_launcher(scene):
    scene.says(frame(REPORT, b"started"))
    scene.engine.setblocking(False)
    sent = 0
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline and sent < 16 * MOST_WAITING_BYTES:
        try:
            sent += scene.engine.send(frame(OUTPUT, bytes(MAX_FRAME_BYTES)))
        except BlockingIOError:
            time.sleep(0.01)
    assert sent < 4 * MOST_WAITING_BYTES


def test_hang_up_ends_the_thread_although_nobody_reads(scene):
    scene.says(frame(REPORT, b"started"), *[frame(OUTPUT, bytes(MAX_FRAME_BYTES)) for _ in range(8)])
    started = time.monotonic()
    scene.relay.hang_up()
    assert scene.relay.lost.wait(2)
    assert time.monotonic() - started < 1


def test_nothing_of_a_relay_is_left_open():
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        made = Scene()
        made.says(frame(REPORT, b"started"))
        made.close()
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_deframer_waits_for_whole_frames_and_refuses_long_ones():
    deframer = Deframer(HEADER, 10)
    assert list(deframer.feed(HEADER.pack(ANSWERS, 3) + b"ab")) == []
    assert list(deframer.feed(b"c" + HEADER.pack(OUTPUT, 0))) == [(ANSWERS, b"abc"), (OUTPUT, b"")]
    with pytest.raises(FrameBroken):
        list(deframer.feed(HEADER.pack(ANSWERS, 11)))


def test_where_no_descriptor_is_left_nothing_stays_open(monkeypatch):
    open_pipe, made = os.pipe2, []

    def pipe_of_few(flags):
        if len(made) == 3:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        made.append(open_pipe(flags))
        return made[-1]

    engine, stream = socket.socketpair()
    with engine, monkeypatch.context() as exhausted:
        open_before = len(os.listdir("/proc/self/fd"))
        exhausted.setattr(os, "pipe2", pipe_of_few)
        with pytest.raises(OSError, match="Too many open files"):
            Relay(stream, b"")
        assert len(made) == 3
        assert len(os.listdir("/proc/self/fd")) == open_before - 1  # the stream
        assert engine.recv(1) == b""
