"""Log records as lines: JSON for programs, text for people. Pure.

What a record quotes may come from a candidate, a model or a client. So nothing in it can end its line,
steer a terminal, or pass for a field; all of it is bounded; and what looks like a secret is blotted out.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MAX_EVENT_CHARACTERS = 4_000
MAX_TRACE_CHARACTERS = 16_000
MAX_FIELD_CHARACTERS = 200
_LONGEST_SECRET = 512
_BLOT = "***"

_ALWAYS_THERE = ("time", "level", "service", "logger", "event")
_SECRET_FORMS = re.compile(
    r"(?P<url>://)[^/@\s]{0,200}:[^/@\s]{1,200}@"
    r"|(?P<scheme>\b[Bb]earer\s)\s{0,4}[A-Za-z0-9._~+/=-]{8,512}"
    r"|\b(?:dn_|sk-|whsec_)[A-Za-z0-9_+/=-]{16,512}"
)


@dataclass(frozen=True)
class Line:
    """One record. `fields` say what it is about, `details` are its figures; both have names of ours."""

    time: str
    """RFC 3339, UTC."""
    level: str
    service: str
    logger: str
    event: str
    trace: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)
    details: Mapping[str, object] = field(default_factory=dict)


class Blotter:
    """Takes secrets out of text: those that it was told, and whatever has the form of one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Shorter words than six characters are left alone: they would blot out half the log."""
        known = sorted({secret for secret in secrets if len(secret) >= 6}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def blotted(self, text: str, limit: int) -> str:
        """The text without secrets; of a longer one the beginning and the end, `limit` characters in all."""
        if len(text) > 2 * (limit + _LONGEST_SECRET):
            text = f"{text[: limit + _LONGEST_SECRET]}{text[-limit - _LONGEST_SECRET :]}"
        if self._known is not None:
            text = self._known.sub(_BLOT, text)
        text = _SECRET_FORMS.sub(_blot, text)
        if len(text) <= limit:
            return text
        return f"{text[: limit // 2]}…{text[-(limit - limit // 2) :]}"


def _blot(match: re.Match[str]) -> str:
    if match["url"]:
        return f"://{_BLOT}@"
    return f"{match['scheme'] or ''}{_BLOT}"


def json_line(line: Line, blotter: Blotter) -> str:
    """One JSON object in ASCII. A field never replaces one of the first five."""
    made: dict[str, object] = {
        "time": line.time,
        "level": line.level,
        "service": line.service,
        "logger": line.logger,
        "event": blotter.blotted(line.event, MAX_EVENT_CHARACTERS),
    }
    for name, value in (*line.fields.items(), *line.details.items()):
        made.setdefault(name, _value(value, blotter))
    if line.trace:
        made["trace"] = blotter.blotted(line.trace, MAX_TRACE_CHARACTERS)
    return json.dumps(made).replace("\x7f", "\\u007f")


def text_line(line: Line, blotter: Blotter) -> str:
    """The same for people. Fields come before the event, which is therefore never taken for one."""
    fields = "".join(f" {name}={_word(_value(value, blotter))}" for name, value in line.fields.items())
    details = "".join(f" {name}={_word(_value(value, blotter))}" for name, value in line.details.items())
    event = _printable(blotter.blotted(line.event, MAX_EVENT_CHARACTERS))
    first = f"{line.time} {line.level} {line.service} {line.logger}{fields}{details}: {event}"
    trace = blotter.blotted(line.trace, MAX_TRACE_CHARACTERS).splitlines() if line.trace else []
    return "\n".join([first, *(f"    | {_printable(text)}" for text in trace)])


def readable(line: str) -> str:
    """A line of a log for a person's eyes: a JSON record as text, anything else as it is, made harmless."""
    try:
        made = json.loads(line)
        moment, level, service, logger, event = (str(made.pop(name)) for name in _ALWAYS_THERE)
        trace = str(made.pop("trace", ""))
        return text_line(Line(moment, level, service, logger, event, trace, made), Blotter())
    except (ValueError, TypeError, AttributeError, KeyError):
        return _printable(line[:MAX_EVENT_CHARACTERS])


def _value(value: object, blotter: Blotter) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return blotter.blotted(str(value), MAX_FIELD_CHARACTERS)


def _word(value: object) -> str:
    shown = _printable(str(value))
    return json.dumps(shown) if re.search(r'[\s"=:]', shown) else shown


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
