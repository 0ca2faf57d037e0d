"""`cwz plugins`: list the installed plugins, and check those of storage providers."""

from typing import Any

import click

from cwz_web.feeds.providers.plugins import SourceRegistry
from cwz_web.imaging.processors import installed_processors
from cwz_web.settings import Settings
from cwz_web.storage.contract import StorageError, StorageProvider
from cwz_web.storage.plugins import ProviderRegistry


def list_plugins(settings: Settings) -> None:
    """Print what plugins provide: storage, feed sources and image processors; and why others were not loaded."""
    providers = ProviderRegistry.of(settings)
    for provider in providers:
        capabilities = ", ".join(sorted(provider.capabilities)) or "no optional capabilities"
        click.echo(f"{provider.name:12} {provider.label:24} {capabilities}")
    sources = SourceRegistry.of(settings)
    for source in sources:
        click.echo(f"{source.name:12} {source.label:24} feed source")
    for processor in installed_processors().values():
        click.echo(f"{processor.name:12} {'image processor':24} version {processor.version}, cost {processor.cost}")
    for plugin, reason in [*providers.load_errors.items(), *sources.load_errors.items()]:
        click.echo(f"{plugin:12} not loaded: {reason}")


def check_plugin(settings: Settings, name: str) -> bool:
    """Check a provider's contract and models, and print the problems. Return whether there are none."""
    providers = ProviderRegistry.of(settings)
    provider = providers.get(name)
    if provider is None:
        reason = providers.load_errors.get(name, "no plugin with this name is installed")
        click.echo(f"{name}: {reason}")
        return False
    problems = _find_problems(provider)
    for problem in problems:
        click.echo(f"{name}: {problem}")
    if not problems:
        click.echo(f"{name}: the plugin is loaded, and its contract version and fields are valid.")
        click.echo("Run its conformance tests to check that it works (docs/storage-plugins.md).")
    return not problems


def _find_problems(provider: StorageProvider[Any, Any]) -> list[str]:
    problems = []
    for model in (provider.settings_model, provider.credentials_model):
        for name, field in model.model_fields.items():
            if not field.title or not field.description:
                problems.append(f"the field {name} needs a title and a description")
        if model.model_config.get("extra") != "forbid":
            problems.append(f"{model.__name__} accepts unknown fields; derive it from Fields")
    credentials = provider.credentials_model.model_fields
    if exposed := [name for name, field in credentials.items() if "Secret" not in str(field.annotation)]:
        problems.append(f"these credentials must be of type SecretStr: {', '.join(exposed)}")
    if not any(field.is_required() for field in provider.settings_model.model_fields.values()):
        try:
            list(provider.hosts(provider.settings_model(), {}))
        except StorageError as error:
            problems.append(str(error))
    return problems
