"""The marked texts of storage plugins are those of the plugins."""

import ast
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from cwz_web.plugin_fields import choice_labels
from cwz_web.storage.contract import StorageProvider
from cwz_web.storage.plugin_texts import PLUGIN_TEXTS
from cwz_web.storage.plugins import ProviderRegistry

PLUGINS = Path(__file__).parents[3] / "plugins"
NAMES = ("firebase", "gcs", "local", "r2", "s3")
BRANDS = {"AWS S3", "Cloudflare R2", "Firebase Storage", "Google Cloud Storage"}


def providers() -> Iterator[StorageProvider]:
    installed = {point.name for point in entry_points(group="cwz.storage")}
    return iter(ProviderRegistry({}, installed - set(NAMES)))


def sentences() -> Iterator[str]:
    """Yield the constants in the sources of the plugins that are sentences."""
    for path in PLUGINS.glob("*/cwz_storage_*/*.py"):
        tree = ast.parse(path.read_text())
        hidden = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                hidden |= {id(part) for part in ast.walk(node)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and id(node) not in hidden else None
            if isinstance(text, str) and text[:1].isupper() and " " in text:
                yield text


def test_marked_texts_are_those_of_the_plugins() -> None:
    expected = set(sentences())
    for provider in providers():
        for model in (provider.settings_model, provider.credentials_model):
            for field in model.model_fields.values():
                expected |= {field.title or "", field.description or "", *choice_labels(field).values()}
        expected.add(provider.label)
    assert expected - {""} - BRANDS == PLUGIN_TEXTS
