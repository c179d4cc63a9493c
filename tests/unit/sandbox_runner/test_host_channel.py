import os

import pytest

from contracts.guest_wire import FrameKind, encode_frame
from sandbox_runner.channel import FrameMalformed, Inbox, Lengths, Outbox, read_available

EXPECTED = {FrameKind.LOGITS: Lengths(8, 8), FrameKind.FAILED: Lengths(0, 100)}


def test_a_frame_that_arrives_byte_by_byte_is_taken_when_it_is_whole() -> None:
    inbox = Inbox()
    frame = encode_frame(FrameKind.LOGITS, b"12345678")

    taken = []
    for byte in frame:
        inbox.feed(bytes([byte]))
        taken.append(inbox.take(EXPECTED))

    assert taken[:-1] == [None] * (len(frame) - 1)
    assert taken[-1] is not None
    assert taken[-1].payload == b"12345678"
    assert len(inbox) == 0


def test_a_wrong_kind_is_refused_before_its_payload_is_there() -> None:
    inbox = Inbox()
    inbox.feed(encode_frame(FrameKind.TRAINED, b"{}")[:5])

    with pytest.raises(FrameMalformed, match="kind 18 instead of LOGITS or FAILED"):
        inbox.take(EXPECTED)


@pytest.mark.parametrize("length", [0, 7, 9, 2**32 - 1])
def test_a_wrong_length_is_refused_before_its_payload_is_there(length: int) -> None:
    inbox = Inbox()
    inbox.feed(bytes([FrameKind.LOGITS]) + length.to_bytes(4, "little"))

    with pytest.raises(FrameMalformed, match=f"{length} bytes instead of 8 to 8"):
        inbox.take(EXPECTED)


def test_a_full_pipe_takes_the_rest_of_a_frame_later() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    content = bytes(300_000)
    outbox = Outbox()
    outbox.put(content)

    received = b""
    while outbox:
        outbox.write_to(writing)
        received += read_available(reading) or b""
    while chunk := read_available(reading):
        received += chunk

    assert received == content
    assert read_available(reading) is None
    os.close(writing)
    assert read_available(reading) == b""
    os.close(reading)
