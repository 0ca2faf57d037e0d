"""The figures of each benchmark's last run, together in `bench/results.json`, which is not kept in the repository."""

import json
from collections.abc import Mapping
from pathlib import Path

FILE = Path(__file__).parent / "results.json"


def keep(figures: Mapping[str, float]) -> None:
    """Write figures down, beside those of other benchmarks and in the place of earlier ones of the same names."""
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    FILE.write_text(json.dumps(kept | dict(figures), indent=2) + "\n")
