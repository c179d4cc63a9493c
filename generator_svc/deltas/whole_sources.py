"""Applies an answer that is a whole source: finds the one network in it, and judges it as a delta is judged.

As with deltas, what is not understood beyond doubt is refused: two different networks, a network that breaks
off, or one that leaves parts out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from contracts.jobs import AppliedDelta
from contracts.names import MAX_DELTA_BYTES
from contracts.proposals import EditPermissions
from contracts.source_rules import CheckedSource
from generator_svc.deltas.application import EVERYWHERE
from generator_svc.deltas.canonical import canonical_delta
from generator_svc.deltas.gates import check_baseline, check_permissions, check_result
from generator_svc.deltas.prose import is_prose
from generator_svc.deltas.refusals import DeltaRefused, RefusalReason, quoted
from generator_svc.deltas.written import ELISION

_FENCE = re.compile(r"^([ \t]{0,12})(`{3,16}|~{3,16})[ \t]*([^`~]{0,80})$")
_STUMP = re.compile(r"^[ \t]{0,12}(?:`{1,2}|~{1,2})$")
"""The beginning of a closing fence, where an answer ends in the middle of one."""
_NETWORK = re.compile(r"^class[ \t]+Net\b", re.MULTILINE)
_FIRST_LINE = re.compile(
    r"^(?:import |from \S+ import\b|class |def |@\w|#|\"\"\"|'''|[A-Za-z_]\w*[ \t]*=)", re.MULTILINE
)
_THOUGHT = "</think>"


@dataclass(frozen=True)
class _Block:
    """Text of an answer that may be a source; `closed` unless the answer ended within its fence."""

    text: str
    closed: bool = True


def apply_source(baseline_source: str, answer: str, edits: EditPermissions = EVERYWHERE) -> AppliedDelta:
    """Take the network out of an answer, as a change of the baseline. Pure; never raises.

    Refused with the codes of `apply_delta`, and `no_source_found`; nothing is repaired, so `confidence` is
    1.0 where it is applied. There are no hunks.
    """
    try:
        _check_size(answer)
        baseline = check_baseline(baseline_source)
        source = network_in(answer, baseline_source)
        if source is None:
            raise DeltaRefused(
                RefusalReason.NO_SOURCE_FOUND,
                "the answer holds no source with a top-level `class Net`; send the whole network in one "
                "```python fence",
            )
        _check_whole(baseline, source)
        check_result(baseline, source)
        check_permissions(baseline_source, source, edits)
    except DeltaRefused as refusal:
        return AppliedDelta("refused", str(refusal.reason), refusal.message, 0.0, None, None)
    return AppliedDelta("applied", "", "", 1.0, source, canonical_delta(baseline_source, source))


def _check_size(answer: str) -> None:
    if len(answer) > MAX_DELTA_BYTES or len(answer.encode(errors="surrogatepass")) > MAX_DELTA_BYTES:
        raise DeltaRefused(
            RefusalReason.TOO_LARGE,
            f"the answer is larger than {MAX_DELTA_BYTES} bytes; send the source of the network alone",
        )


def network_in(answer: str, baseline_source: str) -> str | None:
    """The one source in an answer that has the network. Raises DeltaRefused (ambiguous, truncated).

    The baseline, quoted beside another network, is none.
    """
    lines = _lines_of(answer)
    blocks = list(_blocks(lines))
    if not blocks:
        blocks = list(_unfenced(lines))
    networks = [block for block in blocks if _NETWORK.search(block.text)]
    if any(not block.closed for block in networks):
        raise DeltaRefused(
            RefusalReason.TRUNCATED,
            f"the source breaks off after {quoted(_last_line(networks[-1].text))}: its fence is not closed; "
            "send the whole source again, shorter, and close the fence",
        )
    if not networks and any(not block.closed for block in blocks):
        raise DeltaRefused(
            RefusalReason.TRUNCATED,
            "the answer breaks off before it comes to `class Net`; send the whole source again, shorter",
        )
    different = {_visible(block.text): block.text for block in networks}
    if len(different) > 1:
        different.pop(_visible(baseline_source), None)
    if len(different) > 1:
        raise DeltaRefused(
            RefusalReason.AMBIGUOUS,
            f"the answer holds {len(different)} different sources with a `class Net`; send one",
        )
    return next(iter(different.values()), None)


def _visible(source: str) -> str:
    """A source without the blanks that nobody sees."""
    return "\n".join(map(str.rstrip, source.strip("\n").split("\n")))


def _lines_of(answer: str) -> list[str]:
    """The answer's lines, without what a model thought aloud before, and with "\\n" as line ends."""
    text = answer.removeprefix("\ufeff")
    thought = max(text.rfind(f"\n{_THOUGHT}"), 0 if text.startswith(_THOUGHT) else -1)
    if thought >= 0 and _NETWORK.search(text, thought):
        text = text[text.index(_THOUGHT, thought) + len(_THOUGHT) :]
    lines = text.split("\n")
    if all(line.endswith("\r") for line in lines[:-1]):
        lines = [line.removesuffix("\r") for line in lines]
    return lines


def _blocks(lines: list[str]) -> Iterator[_Block]:
    """What stands in Markdown fences. A fence is closed by one at least as long, of the same kind."""
    opening: re.Match[str] | None = None
    start = 0
    for index, line in enumerate(lines):
        fence = _FENCE.match(line) if line.lstrip(" \t").startswith(("```", "~~~")) else None
        if fence is None:
            continue
        if opening is None:
            opening, start = fence, index + 1
        elif not fence[3].strip() and fence[2].startswith(opening[2]):
            yield _Block(_text(lines[start:index], opening[1]))
            opening = None
    if opening is not None:
        is_closing = len(lines) > start and _STUMP.match(lines[-1]) is not None
        yield _Block(_text(lines[start : -1 if is_closing else None], opening[1]), is_closing)


def _text(lines: list[str], margin: str) -> str:
    """Lines as one source; a fence that is indented indents what stands in it."""
    return "\n".join(line.removeprefix(margin) for line in lines).rstrip() + "\n"


def _unfenced(lines: list[str]) -> Iterator[_Block]:
    """From the first line that reads as Python to the first sentence after the network begins."""
    text = "\n".join(lines)
    first, network = _FIRST_LINE.search(text), _NETWORK.search(text)
    if first is None or network is None:
        return
    end = len(text)
    position = network.end()
    for line in text[position:].split("\n"):
        if line[:1].strip() and not line.startswith("#") and is_prose(line):
            end = position
            break
        position += len(line) + 1
    yield _Block(text[first.start() : end].rstrip() + "\n")


def _last_line(text: str) -> str:
    return text.rstrip().rpartition("\n")[2]


def _check_whole(baseline: CheckedSource, source: str) -> None:
    """Raises DeltaRefused (ambiguous): a comment stands for lines that the answer does not give."""
    known = {line.strip() for line in baseline.source.split("\n")}
    for number, line in enumerate(source.split("\n"), start=1):
        text = line.strip()
        if text.startswith("#") and text not in known and ELISION.match(text):
            raise DeltaRefused(
                RefusalReason.AMBIGUOUS,
                f"line {number}, {quoted(text)}, stands for lines that the answer does not give; write the "
                "whole source out",
            )
