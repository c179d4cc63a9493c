"""Slips of a model that copies a line from memory: each takes a line and returns it, sometimes unchanged."""

import random
import re


def _swap_letters(text: str, rng: random.Random) -> str:
    spots = [at for at in range(len(text) - 1) if text[at : at + 2].isalpha() and text[at] != text[at + 1]]
    if not spots:
        return text
    at = rng.choice(spots)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def _drop_letter(text: str, rng: random.Random) -> str:
    spots = [at for at, letter in enumerate(text) if letter.isalpha()]
    if not spots:
        return text
    at = rng.choice(spots)
    return text[:at] + text[at + 1 :]


def _other_number(text: str, rng: random.Random) -> str:
    numbers = list(re.finditer(r"(?<![\w.])\d+(?![\w.])", text))
    if not numbers:
        return text
    at = rng.choice(numbers)
    return text[: at.start()] + str(int(at.group()) * 2 + 1) + text[at.end() :]


def _other_quotes(text: str, rng: random.Random) -> str:
    return text.translate(str.maketrans("'\"", "\"'"))


def _other_spacing(text: str, rng: random.Random) -> str:
    indent = text[: len(text) - len(text.lstrip())]
    body = text.lstrip()
    spaced = body.replace(", ", ",") if rng.random() < 0.5 else re.sub(r"(?<=\w)=(?=\w)", " = ", body)
    return indent + spaced


def _other_comment(text: str, rng: random.Random) -> str:
    if "#" in text:
        return text[: text.index("#")].rstrip()
    return f"{text}  # {rng.choice(('unchanged', 'same as before', 'keep', 'original'))}"


def _lost_argument(text: str, rng: random.Random) -> str:
    return re.sub(r", \w+=[\w.]+(?=[,)])", "", text, count=1)


def _lost_annotation(text: str, rng: random.Random) -> str:
    return re.sub(r"(?: -> [\w.\[\], ]+(?=:)|: (?:int|float|tuple|bool|str|torch\.\w+)(?=[,)=]))", "", text)


SLIPS = (
    _swap_letters,
    _drop_letter,
    _other_number,
    _other_quotes,
    _other_spacing,
    _other_comment,
    _lost_argument,
    _lost_annotation,
)
