"""Writes the list of all specimens for people: `python -m sandbox_runner.specimens.listing docs`."""

import sys
from collections.abc import Iterator
from pathlib import Path

from contracts.names import IsolationTier
from sandbox_runner.specimens.catalogue import SECTIONS, SPECIMENS
from sandbox_runner.specimens.judgement import expectation_words
from sandbox_runner.specimens.specimen import LIMITS, Expectation, Fails, Section, Specimen

FILE = "attacks.md"
COMMAND = "python -m sandbox_runner.specimens.listing docs"

_ABOUT = """\
<!-- Made by `{command}`; a test holds it to the catalogue. -->
# The attacks

{total} hostile architectures, each a file of `sandbox_runner/specimens/sources/`, with what it must come
to. Run them against the sandboxes of your own machine, on every tier that it has:

    deltanas attack                             # all of them; exits with 0 only when everything held
    deltanas attack --only 'fork*' --backend docker+runsc

Three attempts run at a time on the same worker, in every second round an honest network among them. An
attack has failed when the attempt ends for the right reason, or when it earns no more than the score that
it deserves. After each round all of this must be as it was at the start: the canary and the labels,
connections to the host's own ports, file descriptors and threads of the worker, processes, cgroups, mounts,
containers, files and bytes on disk, stray files in shared folders, System V objects. The honest network
must score exactly as it did before the first attack, beside the attacks and after the last.

**true score**: whatever was tried is refused, and the network that stands beside the attack in its source
earns exactly what the honest one earns. **score of a constant**: exactly what naming one class for every
image earns. All else is the reason of a failure (README.md lists them).

`make test` runs all of them on `namespaces` and those marked ● on each Docker tier as well; `make
test-full` runs all on all, with sandboxes that waited for their work and with such as are started anew.
What attacks the HTTP API instead is in `tests/specimens/api/`.
"""


def listing() -> str:
    """The whole page."""
    parts = [_ABOUT.format(command=COMMAND, total=len(SPECIMENS))]
    parts += ["\n".join(_section(section)) for section in SECTIONS if section.specimens]
    return "\n".join(parts)


def _section(section: Section) -> Iterator[str]:
    yield f"## {section.title}"
    yield ""
    yield "| | specimen | what it tries | must come to |"
    yield "|---|---|---|---|"
    for specimen in section.specimens:
        mark = "●" if specimen.essential else ""
        yield f"| {mark} | `{specimen.name}` | {_cell(specimen.attack)} | {_cell(_must_come_to(specimen))} |"
    yield ""


def _must_come_to(specimen: Specimen) -> str:
    words = _emphasised(specimen.expected)
    for tier in IsolationTier:
        if specimen.expected_on(tier) != specimen.expected:
            words += f"; on `{tier.value}` {_emphasised(specimen.expected_on(tier))}"
    words += "".join(f"; `{tier.value}` is known to let something through" for tier in specimen.admitted)
    narrowed = [
        f"{name} = {value:g}"
        for name, value in vars(specimen.limits).items()
        if value != getattr(LIMITS, name)
    ]
    return words + (f" ({', '.join(narrowed)})" if narrowed else "")


def _emphasised(expected: Expectation) -> str:
    words = expectation_words(expected)
    return f"`{words}`" if isinstance(expected, Fails) else words


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(folder: str) -> None:
    """Write the page into `folder`."""
    (Path(folder) / FILE).write_text(listing(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
