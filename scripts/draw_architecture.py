"""Draw `docs/pictures/architecture.svg` from the code: the layers of pyproject.toml, their parts, and who imports whom.

python scripts/draw_architecture.py          write the picture
python scripts/draw_architecture.py --check  end with 1 when it is not what the code is
"""

import sys
import tomllib
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "pictures" / "architecture.svg"
WIDTH, ROW, BOX, GAP, LEFT = 1080, 62, 38, 14, 16
# What each part is for, in a word or two.
WORDS = {
    "cli": "the cwz command",
    "app": "the WSGI application",
    "server": "waitress",
    "views": "pages for people",
    "api": "/v1, /i, /hooks",
    "web": "what holds for every request",
    "security": "who is asking",
    "resources": "what exists, who may",
    "demo": "starters, samples",
    "ops": "backups, health, leaving",
    "billing": "plans, Stripe",
    "runs": "many pictures",
    "generation": "one picture, keys, usage",
    "imaging": "the engine",
    "feeds": "rows",
    "storage": "plugins, buckets",
    "workspaces": "tenants, members",
    "accounts": "people, sessions",
    "notify": "mail, Slack, webhooks",
    "settings": "the .ini",
    "jobs": "the queue",
    "logs": "lines",
    "crypto": "secrets at rest",
    "db": "PostgreSQL, the wall",
    "net": "guarded outbound",
    "error_reports": "Sentry",
    "scrubbing": "no secret leaves",
    "spreadsheets": "no formula",
    "metrics": "Prometheus",
    "claims": "the claims",
}


def layers() -> list[list[str]]:
    """The packages of each layer, the highest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [contract] = [each for each in contracts if each["type"] == "layers"]
    return [[name.strip().removeprefix("cwz_web.") for name in layer.split("|")] for layer in contract["layers"]]


def draw() -> str:
    """The picture as SVG."""
    graph = grimp.build_graph("cwz_web")
    rows = layers()
    places: dict[str, tuple[float, float, float]] = {}
    for number, row in enumerate(rows):
        width = min((WIDTH - 2 * LEFT - GAP * (len(row) - 1)) / len(row), 236)
        begin = (WIDTH - width * len(row) - GAP * (len(row) - 1)) / 2
        for place, name in enumerate(row):
            places[name] = (begin + place * (width + GAP), 12 + number * ROW, width)
    parts = []
    for name, (x, y, width) in places.items():
        for other, (x2, y2, width2) in places.items():
            if y2 > y and _imports(graph, name, other):
                parts.append(f'<path class="i" d="M{x + width / 2:.0f} {y + BOX}L{x2 + width2 / 2:.0f} {y2}"/>')
    for name, (x, y, width) in places.items():
        word = WORDS[name] if width > 110 else ""
        parts.append(f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{BOX}" rx="7"/>')
        parts.append(f'<text x="{x + width / 2:.0f}" y="{y + 16}">{escape(name)}</text>')
        parts.append(f'<text class="s" x="{x + width / 2:.0f}" y="{y + 30}">{escape(word)}</text>')
    style = (
        "svg{background:#fff;font-family:system-ui,sans-serif}rect{fill:#eceefd;stroke:#3d4ee0}"
        "text{font-size:13px;font-weight:600;text-anchor:middle;fill:#1d1d1f}"
        ".s{font-size:10px;font-weight:400;fill:#5d5c58}.i{stroke:#8d8b84;stroke-opacity:.35;fill:none}"
    )
    height = 12 + len(rows) * ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">\n'
        "<title>The parts of cwz_web by layer; imports go down</title>\n"
        f"<style>{style}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _imports(graph: grimp.ImportGraph, name: str, other: str) -> bool:
    one, two = (
        {f"cwz_web.{each}", *(module for module in graph.modules if module.startswith(f"cwz_web.{each}."))}
        for each in (name, other)
    )
    return any(two & graph.find_modules_directly_imported_by(module) for module in one & graph.modules)


if __name__ == "__main__":
    picture = draw()
    if "--check" in sys.argv:
        sys.exit(0 if PICTURE.read_text() == picture else f"{PICTURE} is out of date: scripts/draw_architecture.py")
    PICTURE.write_text(picture)
