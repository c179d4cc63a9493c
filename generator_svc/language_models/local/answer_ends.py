"""Where an answer is over although the model would go on: behind the delta or the whole source in it."""

import re

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_FENCE = re.compile(r"( {0,3}`{3,})[ \t]*([A-Za-z]*)")
"""A closing fence must stand as far to the right as the opening one: ` ``` ` in a diff is a context line."""
_DIFF_LANGUAGES = frozenset({"diff", "patch", "udiff"})
_TELLS_ANSWER = ("@@", "--- ", "class Net")
"""How a line begins that only a diff, or a whole source, has: in a fence of whatever language."""
_CLOSING_TAG = "</delta>"
_LONGEST_LINE_READ = 200
"""What stands later in a line decides nothing."""


class AnswerEnd:
    """Reads an answer piece by piece and finds its end, however long it is without looking back."""

    def __init__(self) -> None:
        self._line = ""
        self._last_characters = ""
        self._fence = ""
        self._is_answer = False

    def read(self, piece: str) -> int | None:
        """How much of this piece still belongs to the answer, when it ends here; None when it goes on."""
        position = 0
        for line in _LINE.findall(piece):
            tagged = self._end_of_tag(line)
            fenced = self._end_of_fence(line)
            ends = [end for end in (tagged, fenced) if end is not None]
            if ends:
                return position + min(ends)
            position += len(line)
        return None

    def _end_of_tag(self, part: str) -> int | None:
        before = self._last_characters
        found = (before + part).find(_CLOSING_TAG)
        self._last_characters = (before + part)[-len(_CLOSING_TAG) + 1 :]
        return None if found < 0 else found + len(_CLOSING_TAG) - len(before)

    def _end_of_fence(self, part: str) -> int | None:
        before = len(self._line)
        self._line = (self._line + part)[:_LONGEST_LINE_READ]
        if self._fence and self._is_answer and self._line.startswith(self._fence):
            return max(0, len(self._fence) - before)
        if part.endswith("\n"):
            self._end_line()
        return None

    def _end_line(self) -> None:
        line, self._line = self._line, ""
        fence = _FENCE.match(line)
        if not self._fence and fence:
            self._fence, language = fence.groups()
            self._is_answer = language.lower() in _DIFF_LANGUAGES
        elif fence and fence[1].startswith(self._fence) and not fence[2]:
            self._fence = ""
        elif self._fence and line.startswith(_TELLS_ANSWER):
            self._is_answer = True
