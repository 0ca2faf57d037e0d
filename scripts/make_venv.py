"""Create the virtual environment. Debian has `ensurepip` in a separate package: install it, or say how."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - an older Python runs this script, too
    sys.exit("ConnectWyze needs Python 3.11 or newer. Try: make PYTHON=python3.11 serve")

folder = Path(sys.argv[1])
try:
    import ensurepip  # noqa: F401
except ImportError:
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"This Python has no venv module. Install it first: sudo apt-get install {package}")
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run(["apt-get", "install", "-y", "-qq", package], check=True, stdout=subprocess.DEVNULL)

# In a new interpreter: this one has cached that ensurepip is missing.
subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
