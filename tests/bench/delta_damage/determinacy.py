"""What an ideal reader could decide: damage after which even it could not is drawn again.

Without these checks a benchmark would demand guessing. The checks are stricter than they need to be,
never laxer: what they let through has one right answer.
"""

from collections.abc import Sequence

from .hunks import Hunk, Hunks, Line, split_lines

CLEARLY = 0.7
"""A place at which this share of a hunk's lines stands in order is too much like the true one."""


def places(lines: Sequence[str], block: Sequence[str], start: int = 0) -> list[int]:
    """Where the lines of `block` stand together, character by character, from `start` on."""
    if not block:
        return []
    return [
        at
        for at in range(start, len(lines) - len(block) + 1)
        if lines[at] == block[0] and list(lines[at : at + len(block)]) == list(block)
    ]


def arrangements(baseline: str, blocks: Sequence[Sequence[str]], most: int = 8) -> list[tuple[int, ...]]:
    """Ways to place all blocks in order and apart; at most `most`."""
    lines = split_lines(baseline)
    found: list[tuple[int, ...]] = []

    def place(number: int, start: int, chosen: tuple[int, ...]) -> None:
        if number == len(blocks):
            found.append(chosen)
            return
        for at in places(lines, blocks[number], start):
            if len(found) < most:
                place(number + 1, at + len(blocks[number]), (*chosen, at))

    place(0, 0, ())
    return found


def stand_at_one_place(baseline: str, hunks: Hunks) -> bool:
    """Whether the hunks, read plainly and in order, fit at exactly one place each without their numbers."""
    return (
        all(hunk.old for hunk in hunks) and len(arrangements(baseline, [hunk.old for hunk in hunks], 2)) == 1
    )


def stands_once(baseline: str, hunk: Hunk) -> bool:
    """Whether one hunk fits at one place of the whole baseline, whatever the others do."""
    return len(places(split_lines(baseline), hunk.old)) == 1


def stand_nowhere_else(baseline: str, hunks: Hunks, reach: int = 3) -> bool:
    """Whether no damaged hunk, read plainly, happens to fit exactly far from where it belongs."""
    lines = split_lines(baseline)
    return all(abs(at - hunk.start) <= reach for hunk in hunks for at in places(lines, hunk.old)) and not any(
        _is_elsewhere(lines, hunk) for hunk in hunks
    )


def _is_elsewhere(lines: Sequence[str], hunk: Hunk) -> bool:
    """The same without regard to white space and blank lines."""
    block = [text.strip() for text in hunk.old if text.strip()]
    solid = [(at, text.strip()) for at, text in enumerate(lines) if text.strip()]
    found = places([text for _, text in solid], block)
    return any(abs(solid[at][0] - hunk.start) > len(hunk.lines) for at in found)


def is_distinct(baseline: str, hunk: Hunk) -> bool:
    """Whether no other part of the baseline resembles the true hunk's old side.

    Resemblance: lines that are not blank and stand in order, none of them at its own place, within a
    window two lines longer than the hunk; white space at the ends of lines does not count.
    """
    lines = [text.strip() for text in split_lines(baseline)]
    old = [(hunk.start + at, text.strip()) for at, text in enumerate(hunk.old)]
    old = [(at, text) for at, text in old if text]
    if not old:
        return False
    size = len(hunk.old) + 2
    most = max(_in_order(old, lines, start, size) for start in range(max(1, len(lines) - size + 1)))
    return most < CLEARLY * len(old)


def _in_order(old: Sequence[tuple[int, str]], lines: Sequence[str], start: int, size: int) -> int:
    """Longest common subsequence of the old lines and a window, with no line at its own place."""
    window = range(start, min(len(lines), start + size))
    if len({text for _, text in old} & {lines[at] for at in window}) * 4 < len(old):
        return 0
    best = [0] * (len(window) + 1)
    for true_at, text in old:
        diagonal = 0
        for column, at in enumerate(window, 1):
            above = best[column]
            matched = diagonal + 1 if lines[at] == text and at != true_at else 0
            best[column] = max(matched, above, best[column - 1])
            diagonal = above
    return best[-1]


def dropping_keeps_order(lines: Sequence[Line], dropped: set[int]) -> bool:
    """Whether every added line still has its one place once these context lines are gone.

    After a removed line added ones replace it, so that what is dropped behind them does no harm, unless
    another removed line follows. An insertion between context lines of which one is gone might belong on
    either side of it.
    """
    return all(_gap_is_plain(lines, gap, dropped) for gap in _gaps(lines, dropped))


def _gaps(lines: Sequence[Line], dropped: set[int]) -> list[list[int]]:
    """Positions between two surviving old lines: added and dropped lines that stand together."""
    gaps: list[list[int]] = [[]]
    for number, line in enumerate(lines):
        if line.sign == "+" or number in dropped:
            gaps[-1].append(number)
        else:
            gaps.append([])
    return gaps


def _gap_is_plain(lines: Sequence[Line], gap: Sequence[int], dropped: set[int]) -> bool:
    gone = [number for number in gap if number in dropped]
    added = [number for number in gap if number not in dropped]
    if not gone or not added:
        return True
    before, behind = gap[0] - 1, gap[-1] + 1
    between_removed = behind < len(lines) and lines[behind].sign == "-"
    return before >= 0 and lines[before].sign == "-" and added[-1] < gone[0] and not between_removed


def readings_of_gaps(lines: Sequence[Line], dropped: set[int]) -> list[tuple[Line, ...]] | None:
    """All bodies that a hunk without these blank context lines may stand for.

    An insertion between blank lines that are gone may belong before, between or behind them. None if
    the insertion is torn apart, or there are more than 8 readings.
    """
    bodies: list[tuple[Line, ...]] = [()]
    at = 0
    for gap in _gaps(lines, dropped):
        gone = [lines[number] for number in gap if number in dropped]
        added = [lines[number] for number in gap if number not in dropped]
        if _gap_is_plain(lines, gap, dropped):
            options = [tuple(lines[number] for number in gap)]
        elif not _together([number for number in gap if number not in dropped]):
            return None
        else:
            options = [(*gone[:cut], *added, *gone[cut:]) for cut in range(len(gone) + 1)]
        bodies = [(*body, *option) for body in bodies for option in options]
        at = (gap[-1] + 1) if gap else at
        if at < len(lines):
            bodies = [(*body, lines[at]) for body in bodies]
            at += 1
        if len(bodies) > 8:
            return None
    return bodies


def _together(numbers: Sequence[int]) -> bool:
    return numbers[-1] - numbers[0] == len(numbers) - 1
