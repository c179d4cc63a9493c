from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.untrusted_text import BoundedLog, escaped, quoted


def test_control_and_direction_characters_are_escaped_and_letters_are_not() -> None:
    assert escaped("a\x1b[31m\r\n\té‮\x9b✓") == "a\\x1b[31m\\x0d\n\té\\u202e\\x9b✓"


@given(st.text())
def test_what_is_escaped_needs_no_more_escaping(text: str) -> None:
    assert escaped(escaped(text)) == escaped(text)
    escaped(text).encode()


@given(st.text(), st.integers(1, 50))
def test_a_quotation_keeps_to_its_length(text: str, characters: int) -> None:
    assert len(quoted(text, characters)) <= characters


def test_a_short_output_is_kept_whole_with_invalid_bytes_replaced() -> None:
    log = BoundedLog(100)
    log.append(b"one\xff")
    log.append("zwei €\n".encode())

    assert log.text() == "one�zwei €\n"


def test_a_long_output_keeps_both_ends_and_says_what_is_missing() -> None:
    log = BoundedLog(20)
    for number in range(10):
        log.append(b"%d" % number * 10)

    assert log.text() == "0000000000\n… 80 bytes left out …\n9999999999"
    assert log.total_bytes == 100
