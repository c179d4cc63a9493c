"""Records a search that a server has, and shows a recording."""

import argparse
import json
from pathlib import Path

from deltanas.cli.connection import connected
from search_recording.figure import search_figure
from search_recording.recording import recording, written
from search_recording.tables import tables


def main() -> None:
    """`record ID FILE` or `show FILE`."""
    parser = argparse.ArgumentParser(prog="python -m search_recording", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record", help="write what a search has measured into a file")
    record.add_argument("search", help="its id, se_…")
    record.add_argument("file", type=Path)
    show = commands.add_parser("show", help="print a recording as tables")
    show.add_argument("file", type=Path)
    show.add_argument("--figure", type=Path, help="where its picture is written, as SVG")
    asked = parser.parse_args()
    if asked.command == "record":
        with connected(need_ready=False, quiet=True) as client:
            found = recording(
                client.search(asked.search),
                client.cycles(asked.search),
                list(client.candidates(asked.search)),
                client.theory(asked.search),
            )
        asked.file.write_text(written(found), encoding="utf-8")
        return
    found = json.loads(asked.file.read_text(encoding="utf-8"))
    print(tables(found), end="")
    if asked.figure:
        asked.figure.write_text(search_figure(found), encoding="utf-8")


if __name__ == "__main__":
    main()
