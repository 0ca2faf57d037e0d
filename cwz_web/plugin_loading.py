"""Loading plugins of storage, feeds and images: what one registers by a hook, and whether it fulfills the contract."""

import re
from collections.abc import Callable, Sequence

import pluggy

# The name of what a plugin registers, in URLs, settings and documents.
NAME = re.compile(r"[a-z][a-z0-9_]{1,30}")


def load_plugin(manager: pluggy.PluginManager, name: str, load: Callable[[], object], hook: str) -> list[object]:
    """Register a plugin, and return what it registers by a hook.

    Args:
        manager: the manager of the other plugins.
        name: the plugin's name.
        load: imports the plugin.
        hook: the name of the hook.

    Raises:
        Exception: whatever the plugin raises; then it is not registered.
    """
    try:
        plugin = load()
        manager.register(plugin, name)
        manager.check_pending()  # otherwise a misspelled hook is ignored silently
        others = [other for other in manager.get_plugins() if other is not plugin]
        return [each for result in manager.subset_hook_caller(hook, others)() for each in result]
    except Exception:
        if manager.has_plugin(name):
            manager.unregister(name=name)
        raise


def find_contract_problem(
    found: object, contract: type, api_version: int, attributes: Sequence[str], *, kind: str = "provider"
) -> str:
    """Return what is wrong with the attributes of what a plugin registers; an empty text if nothing is.

    Args:
        found: what it registers.
        contract: the class that it has to be derived from.
        api_version: the version of the contract.
        attributes: what it has to define beside its `name` and the `api_version` that it was written for.
        kind: what it is called in the message.
    """
    if not isinstance(found, contract):
        return f"its {kind} is not derived from {contract.__name__}"
    if missing := [name for name in ("api_version", "name", *attributes) if not hasattr(found, name)]:
        return f"its {kind} does not define {', '.join(missing)}"
    version, name = getattr(found, "api_version"), getattr(found, "name")  # noqa: B009 - the contract has them
    if version != api_version:
        return f"it was written for version {version} of the contract, not {api_version}"
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return "its name must be 2 to 31 lower-case letters, digits and underscores"
    return ""
