"""`cwz plugins`: which storage plugins are installed, and whether one of them does what it should."""

from typing import Any

import click

from cwz_web.settings import Settings
from cwz_web.storage.contract import StorageError, StorageProvider
from cwz_web.storage.plugins import ProviderRegistry


def show(settings: Settings) -> None:
    """Print the providers, and what was left out, with the reason."""
    providers = ProviderRegistry.of(settings)
    for provider in providers:
        can = ", ".join(sorted(provider.capabilities)) or "the basics"
        click.echo(f"{provider.name:12} {provider.label:24} {can}")
    for plugin, reason in providers.load_errors.items():
        click.echo(f"{plugin:12} left out: {reason}")


def check(settings: Settings, name: str) -> bool:
    """Look at one provider closely. Returns whether everything is as it should be."""
    providers = ProviderRegistry.of(settings)
    provider = providers.get(name)
    if provider is None:
        reason = providers.load_errors.get(name, "no plugin of this name is installed")
        click.echo(f"{name}: {reason}")
        return False
    problems = list(_problems(provider))
    for problem in problems:
        click.echo(f"{name}: {problem}")
    if not problems:
        click.echo(f"{name}: is found, speaks this version of the contract, and a form can be made of its fields.")
        click.echo("Run its conformance suite to see whether it works (docs/storage-plugins.md).")
    return not problems


def _problems(provider: StorageProvider[Any, Any]) -> list[str]:
    found = []
    for model in (provider.settings_model, provider.credentials_model):
        for field, told in model.model_fields.items():
            if not told.title or not told.description:
                found.append(f"the field {field} needs a title and a description")
        if model.model_config.get("extra") != "forbid":
            found.append(f"{model.__name__} takes fields that it does not know; derive it from Fields")
    secret = [n for n, told in provider.credentials_model.model_fields.items() if "Secret" not in str(told.annotation)]
    if secret:
        found.append(f"these credentials are no SecretStr and could show: {', '.join(secret)}")
    if not any(told.is_required() for told in provider.settings_model.model_fields.values()):
        try:
            list(provider.hosts(provider.settings_model(), {}))
        except StorageError as error:
            found.append(str(error))
    return found
