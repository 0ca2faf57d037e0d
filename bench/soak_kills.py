"""Kill workers 20 times during a run of 2,000 images (`make soak`), with the checks of the kill test."""

import os
import sys
from pathlib import Path

import pytest

TEST = Path(__file__).parent.parent / "tests" / "functional" / "test_process_kills.py"


def main() -> None:
    os.environ |= {"CWZ_SOAK_ROWS": "2000", "CWZ_SOAK_KILLS": "20"}
    sys.exit(pytest.main(["-q", "-m", "not slow", str(TEST)]))


if __name__ == "__main__":
    main()
