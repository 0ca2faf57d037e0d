"""`request.audit(action, target, …)`: an entry in the workspace's log, in the same transaction as what it tells of."""

from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request

from cwz_web.workspaces.audit import Actor, record


def actor_of(request: Request) -> Actor:
    """The person at the browser."""
    account = request.identity.account
    return Actor(account.id, f"{account.name} <{account.email}>", request.remote_addr or "")


def key_actor(request: Request) -> Actor:
    """The program with an API key."""
    owner = request.identity
    return Actor(None, f"API key {owner.name} ({owner.prefix}…)", request.remote_addr or "")


def audit(request: Request, action: str, target: str, **details: Any) -> None:
    """Note what the person has just done in the workspace that the address lies in."""
    record(request.db, request.workspace.workspace_id, actor_of(request), action, target, details)


def includeme(config: Configurator) -> None:
    """Install `request.audit`."""
    config.add_request_method(audit, "audit")
