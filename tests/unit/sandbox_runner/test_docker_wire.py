"""What the launcher takes from a runner's request, and what it refuses by field."""

import pytest

from contracts.measurements import MIB
from sandbox_runner.sandboxes.docker.wire import (
    MAX_MESSAGE_BYTES,
    RequestRefused,
    Runtime,
    Start,
    decode,
    encode,
    read_start,
    start_message,
)

START = Start(
    runtime=Runtime.RUNSC,
    name="attempt-1",
    argv=("/usr/bin/python3", "-c", "pass"),
    environment={"HOME": "/tmp"},
    memory_bytes=512 * MIB,
    pids=64,
    disk_bytes=MIB,
    wall_seconds=900.0,
    threads=2,
    device="GPU-8a5f0c1e-0000-1111-2222-333344445555",
)
MESSAGE = decode(encode(start_message(START)))


def test_request_arrives_as_it_was_made():
    assert read_start(decode(encode(start_message(START)))) == START


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("runtime", "kata"),
        ("runtime", None),
        ("name", "../escape"),
        ("name", "a" * 101),
        ("name", "two\nlines"),
        ("argv", []),
        ("argv", ["a"] * 65),
        ("argv", "sh"),
        ("argv", ["with\0nul"]),
        ("argv", ["\ud800"]),
        ("argv", [7]),
        ("environment", {"A=B": "c"}),
        ("environment", {"": "c"}),
        ("environment", {"A": None}),
        ("environment", [["A", "B"]]),
        ("memory_bytes", 1),
        ("memory_bytes", 2**60),
        ("memory_bytes", 1e8),
        ("memory_bytes", True),
        ("memory_bytes", "512m"),
        ("pids", -1),
        ("pids", 10**6),
        ("disk_bytes", 0),
        ("disk_bytes", 2**50),
        ("wall_seconds", float("nan")),
        ("wall_seconds", float("inf")),
        ("wall_seconds", -1),
        ("threads", 0),
        ("threads", 10_000),
        ("device", "all"),
        ("device", "GPU-1,GPU-2"),
        ("device", ["GPU-8a5f0c1e"]),
    ],
)
def test_every_field_is_refused_by_name(field, value):
    message = {**MESSAGE, field: value}
    with pytest.raises(RequestRefused, match=field):
        read_start(message)


@pytest.mark.parametrize("unknown", ["image", "mounts", "privileged", "cap_add", "network"])
def test_fields_of_a_container_are_no_fields_of_a_request(unknown):
    with pytest.raises(RequestRefused, match=unknown):
        read_start({**MESSAGE, unknown: "x"})


def test_missing_field_is_refused_by_name():
    message = {name: value for name, value in MESSAGE.items() if name != "pids"}
    with pytest.raises(RequestRefused, match="pids"):
        read_start(message)


@pytest.mark.parametrize("packet", [b"", b"{", b"[]", b"7", b"\xff", b"[" * 50_000])
def test_packet_that_is_no_message_is_refused(packet):
    with pytest.raises(RequestRefused):
        decode(packet)


def test_message_longer_than_a_packet_is_refused():
    with pytest.raises(RequestRefused, match=str(MAX_MESSAGE_BYTES)):
        encode({"argv": "x" * MAX_MESSAGE_BYTES})


def test_refusal_never_repeats_what_it_was_given():
    hostile = "\x1b[31m<script>"
    with pytest.raises(RequestRefused) as refused:
        read_start({**MESSAGE, "name": hostile, "device": hostile})
    assert "script" not in str(refused.value)
    with pytest.raises(RequestRefused) as refused:
        read_start({**MESSAGE, hostile: 1})
    assert "\x1b" not in str(refused.value)
