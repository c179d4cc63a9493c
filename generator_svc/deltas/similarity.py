"""How alike two lines are, in time linear in their lengths, whatever they are."""

COMPARED_CHARACTERS = 400
"""Enough for a line of code; what comes after does not count."""
SHORT_KEY = 16
"""Characters of a key of which bigrams say little."""


def bigrams(key: str) -> frozenset[str]:
    """Pairs of neighbouring characters, with the ends marked."""
    marked = f"\0{key[:COMPARED_CHARACTERS]}\0"
    return frozenset(marked[index : index + 2] for index in range(len(marked) - 1))


def edit_likeness(first: str, second: str) -> float:
    """One minus the share of characters to insert, delete, replace or swap with their neighbour, in [0, 1].

    For short keys, of which bigrams say little; the time is the product of both lengths. Source: F. Damerau,
    A technique for computer detection and correction of spelling errors, Comm. ACM 7 (1964), in its
    restricted form.
    """
    longest = max(len(first), len(second), 1)
    before, row = [0] * (len(second) + 1), list(range(len(second) + 1))
    for i, one in enumerate(first, 1):
        before, last, row = row, before, [i]
        for j, other in enumerate(second, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (one != other))
            if i > 1 and j > 1 and one == second[j - 2] and other == first[i - 2]:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return 1 - row[-1] / longest


def likeness(first: frozenset[str], second: frozenset[str]) -> float:
    """The Sørensen-Dice coefficient of two sets of bigrams, in [0, 1].

    Source: L. R. Dice, Measures of the amount of ecologic association between species, Ecology 26 (1945).
    """
    return 2 * len(first & second) / (len(first) + len(second))
