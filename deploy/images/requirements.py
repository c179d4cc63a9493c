"""`requirements.py FILE EXTRAS` prints what a pyproject.toml requires for some of its extras, a line each."""

import sys
import tomllib
from pathlib import Path


def main() -> None:
    """Extras are named with commas between them. Raises KeyError for one that there is not."""
    project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
    optional = project["optional-dependencies"]
    extra = (line for name in sys.argv[2].split(",") for line in optional[name])
    print("\n".join(dict.fromkeys([*project["dependencies"], *extra])))


if __name__ == "__main__":
    main()
