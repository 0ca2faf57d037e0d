"""The kill test with 2,000 images and 20 kills; it takes some minutes.

Run it from the root of the repository: `.venv/bin/python bench/soak.py`.
"""

import os
import sys

import pytest

os.environ |= {"CWZ_SOAK_ROWS": "2000", "CWZ_SOAK_KILLS": "20"}
sys.exit(pytest.main(["-q", "tests/functional/test_killings.py"]))
