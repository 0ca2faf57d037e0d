"""Draw `docs/images/architecture.svg`: the layers of pyproject.toml, their packages, and the imports between them.

python scripts/draw_architecture.py          write the image
python scripts/draw_architecture.py --check  exit with status 1 if the image is outdated
"""

import sys
import tomllib
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
IMAGE = ROOT / "docs" / "images" / "architecture.svg"
WIDTH, ROW, BOX, GAP, LEFT = 1080, 62, 38, 14, 16
DESCRIPTIONS = {
    "cli": "the cwz command",
    "app": "the WSGI application",
    "mcp": "tools of AI assistants",
    "server": "waitress",
    "views": "pages",
    "api": "/v1, /i, /hooks",
    "web": "request handling",
    "security": "authentication",
    "resources": "traversal, permissions",
    "demo": "starters, samples",
    "ops": "backups, health, exports",
    "shops": "images in products of shops",
    "channels": "feeds of platforms",
    "campaigns": "rules, publications",
    "billing": "plans, Stripe",
    "runs": "bulk rendering",
    "generation": "images, API keys, usage",
    "importers": "JSON of other services",
    "imaging": "the rendering engine",
    "feeds": "feeds and rows",
    "storage": "plugins, buckets",
    "workspaces": "tenants, members",
    "accounts": "accounts, sessions",
    "notify": "email, Slack, webhooks",
    "settings": "the .ini file",
    "jobs": "the queue",
    "logs": "structured logs",
    "crypto": "encryption",
    "db": "PostgreSQL",
    "guides": "pages of docs/",
    "net": "guarded HTTP client",
    "error_reports": "Sentry",
    "scrubbing": "secret redaction",
    "spreadsheets": "formula escaping",
    "stored_messages": "stored texts",
    "metrics": "Prometheus",
    "i18n": "languages, locales",
    "security_claims": "the security page",
}


def layers() -> list[list[str]]:
    """Return the packages of each layer, the highest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [contract] = [each for each in contracts if each["type"] == "layers"]
    return [[name.strip().removeprefix("cwz_web.") for name in layer.split("|")] for layer in contract["layers"]]


def draw() -> str:
    """Return the image as SVG."""
    graph = grimp.build_graph("cwz_web")
    rows = layers()
    boxes: dict[str, tuple[float, float, float]] = {}
    for number, row in enumerate(rows):
        width = min((WIDTH - 2 * LEFT - GAP * (len(row) - 1)) / len(row), 236)
        left = (WIDTH - width * len(row) - GAP * (len(row) - 1)) / 2
        for column, name in enumerate(row):
            boxes[name] = (left + column * (width + GAP), 12 + number * ROW, width)
    parts = []
    for name, (x, y, width) in boxes.items():
        for other, (x2, y2, width2) in boxes.items():
            if y2 > y and _imports(graph, name, other):
                parts.append(f'<path class="i" d="M{x + width / 2:.0f} {y + BOX}L{x2 + width2 / 2:.0f} {y2}"/>')
    for name, (x, y, width) in boxes.items():
        description = DESCRIPTIONS[name] if width > 110 else ""
        parts.append(f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{BOX}" rx="7"/>')
        parts.append(f'<text x="{x + width / 2:.0f}" y="{y + 16}">{escape(name)}</text>')
        parts.append(f'<text class="s" x="{x + width / 2:.0f}" y="{y + 30}">{escape(description)}</text>')
    style = (
        "svg{background:#fff;font-family:system-ui,sans-serif}rect{fill:#eceefd;stroke:#3d4ee0}"
        "text{font-size:13px;font-weight:600;text-anchor:middle;fill:#1d1d1f}"
        ".s{font-size:10px;font-weight:400;fill:#5d5c58}.i{stroke:#8d8b84;stroke-opacity:.35;fill:none}"
    )
    height = 12 + len(rows) * ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">\n'
        "<title>The packages of cwz_web by layer, with their imports</title>\n"
        f"<style>{style}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _imports(graph: grimp.ImportGraph, name: str, other: str) -> bool:
    one, two = (
        {f"cwz_web.{each}", *(module for module in graph.modules if module.startswith(f"cwz_web.{each}."))}
        for each in (name, other)
    )
    return any(two & graph.find_modules_directly_imported_by(module) for module in one & graph.modules)


if __name__ == "__main__":
    image = draw()
    if "--check" in sys.argv:
        sys.exit(0 if IMAGE.read_text() == image else f"{IMAGE} is outdated. Run: python scripts/draw_architecture.py")
    IMAGE.write_text(image)
