"""Writes all dashboards into a folder."""

import json
import sys
from pathlib import Path

from .grafana import rendered
from .operator import OPERATOR
from .trading import DASHBOARDS


def main(folder: str) -> None:
    """Write them, and delete what is no dashboard any more."""
    target = Path(folder)
    boards = {f"{each.name}.json": each for each in (*DASHBOARDS, OPERATOR)}
    for left in target.glob("*.json"):
        if left.name not in boards:
            left.unlink()
    for name, board in boards.items():
        text = json.dumps(rendered(board), indent=2, ensure_ascii=False)
        (target / name).write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
