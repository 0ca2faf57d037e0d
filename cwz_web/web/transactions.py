"""One transaction a request: `request.db` is a session that pyramid_tm commits, or rolls back on an error or a 4xx.

Addresses that talk to the network while they work (/v1, /i, /hooks, Google) have none: no transaction stays open
across a network call. They open short ones of their own with `request.services.database.transaction()`.
"""

import zope.sqlalchemy
from pyramid.config import Configurator
from pyramid.request import Request
from sqlalchemy.orm import Session

WITHOUT = ("/v1/", "/i/", "/hooks/", "/signin/google", "/slack/", "/static/", "/healthz")


def includeme(config: Configurator) -> None:
    """Install pyramid_tm with an explicit manager, and `request.db`."""
    config.add_settings(
        {
            "tm.manager_hook": "pyramid_tm.explicit_manager",
            "tm.commit_veto": "pyramid_tm.default_commit_veto",
            "tm.activate_hook": uses_transaction,
        }
    )
    config.include("pyramid_tm")
    config.add_request_method(uses_transaction, "uses_transaction", reify=True)
    config.add_request_method(_session, "db", reify=True)


def uses_transaction(request: Request) -> bool:
    """Whether the request has a transaction around it."""
    return not request.raw_path.startswith(WITHOUT)


def release_connection(request: Request) -> None:
    """End the request's transaction, before a view talks to the network. What was read stays readable; what is written
    afterwards goes into `request.services.database.transaction()`."""
    request.tm.abort()
    request.tm.begin()


def _session(request: Request) -> Session:
    assert request.uses_transaction, "this address opens its own transactions"
    session = request.services.database.session()
    # Always "changed": what goes past the ORM (COPY, jobs) must be committed as well.
    zope.sqlalchemy.register(session, initial_state="changed", transaction_manager=request.tm)
    return session
