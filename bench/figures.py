"""The figures of the last run of each benchmark, in `bench/results.json`, which is not in the repository."""

import json
from collections.abc import Mapping
from pathlib import Path

FILE = Path(__file__).parent / "results.json"


def save_figures(figures: Mapping[str, float]) -> None:
    """Save figures; those of other benchmarks are kept, earlier ones of the same name are replaced."""
    saved = json.loads(FILE.read_text()) if FILE.exists() else {}
    FILE.write_text(json.dumps(saved | dict(figures), indent=2) + "\n")
