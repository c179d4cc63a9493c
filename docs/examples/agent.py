"""An agent of 40 lines that drives a search: python docs/examples/agent.py CONFIG.yaml

CONFIG.yaml configures a search with `proposer: {kind: external}`. Put a model of your own into `propose`.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from deltanas import Client

SWAPS = (("ReLU", "SiLU"), ("ReLU", "GELU"), ("SiLU", "GELU"), ("GELU", "ReLU"))


def propose(task: dict[str, Any]) -> tuple[str, str]:
    """A whole source, and a line that says what is new. A model would read task["prompt"]["messages"]."""
    source = task["baseline"]["source"]
    fitting = [(old, new) for old, new in SWAPS if f"nn.{old}(" in source]
    old, new = fitting[task["seed"] % len(fitting)] if fitting else ("", "")
    return source.replace(f"nn.{old}(", f"nn.{new}("), f"{old} becomes {new}"


def main(config: Path) -> None:
    """Start a search, answer its tasks until it has ended, and say how it went."""
    with Client() as client:
        search_id = client.start_search(**yaml.safe_load(config.read_text()))["id"]
        for task in client.tasks(search_id, agent="example"):
            source, summary = propose(task)
            told = client.tell(task, source=source, summary=summary)
            print(told["candidate"]["name"], told["candidate"]["state"], summary)
        search = client.search(search_id)
        best = search["best"] or {}
        print(search["state"], best.get("name"), best.get("accuracy"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
