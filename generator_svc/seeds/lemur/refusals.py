"""Why a wheel, or one file of it, is not taken in."""

MAX_QUOTED_CHARACTERS = 80


class WheelRefused(Exception):
    """The whole wheel cannot be used. `code` is a word; `remedy` says what to do."""

    def __init__(
        self, code: str, message: str, remedy: str = "Use the wheel of nn-dataset as it was released."
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy


class MemberRefused(Exception):
    """One file of a wheel cannot be used. `code` is a word."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def quoted(name: str) -> str:
    """A name out of a file that nobody vouches for: escaped and cut."""
    # Escaping may make ten characters of one.
    return ascii(name[:MAX_QUOTED_CHARACTERS])[1:-1][:MAX_QUOTED_CHARACTERS]
