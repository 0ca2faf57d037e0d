"""The pages of `docs/` that the application shows below `/docs/guides`: this list, and links to the files."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

PATH = "/docs/guides"


@dataclass(frozen=True)
class Guide:
    """A page of the documentation.

    Attributes:
        name: The name of its file, without its extension.
        label: Its title.
        about: What it explains, without a full stop.
    """

    name: str
    label: str
    about: str

    @property
    def url(self) -> str:
        """The path of the page; with `.md` at its end, that of its Markdown."""
        return f"{PATH}/{self.name}"

    def read(self) -> str:
        """Return the page in Markdown."""
        return _read_file(f"{self.name}.md")


PARTS = {
    "Guides": (
        Guide("templates", "Templates", "Layers, stacks, fields, expressions, sizes, brand, versions"),
        Guide("editor", "Editor", "Everything that the editor does, and all keys"),
        Guide("feeds", "Feeds", "File types, columns, keys, schedules, imports"),
        Guide("campaigns", "Campaigns", "Design rules, windows, publications, decisions, roll back"),
        Guide("channels", "Channels", "Feeds for platforms and shops, delivery to your storage, fetch log"),
        Guide("shops", "Shops", "Images in the products of Shopify and WooCommerce, and restoring them"),
        Guide("no-code", "Without code", "n8n, Zapier, Make and Google Sheets"),
        Guide("mcp", "AI assistants", "Connect Claude, Cursor and VS Code through MCP: set-up, tools, safety"),
        Guide(
            "importers", "Move from Bannerbear or Placid", "What becomes of their templates, and what has no equivalent"
        ),
        Guide("single-sign-on", "Single sign-on", "Passkeys, identity providers, verified domains"),
    ),
    "For developers": (
        Guide("api", "API", "Images, feeds, runs, signed URLs, webhooks"),
        Guide("clients", "Clients", "The API from Python and TypeScript"),
        Guide("templates-as-code", "Templates as code", "Templates in files, reviewed and published through git"),
        Guide("storage-plugins", "Storage plugins", "How to write a provider of storage"),
        Guide("feed-sources", "Feed source plugins", "How to write a plugin that fetches rows from a shop or a table"),
        Guide("image-processors", "Image processors", "How to write a plugin that changes photos, such as a cut-out"),
    ),
    "For operators": (
        Guide("operations", "Operations", "Installation, upgrades, backups, monitoring"),
        Guide("scaling", "Scaling", "From one machine to many, with the figures to plan by"),
    ),
}
GUIDES = {guide.name: guide for part in PARTS.values() for guide in part}


@cache
def _read_file(name: str) -> str:
    return files(__name__).joinpath(name).read_text()
