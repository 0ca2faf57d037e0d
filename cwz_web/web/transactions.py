"""One transaction a request: `request.db` is a session that pyramid_tm commits, or rolls back on an error or a 4xx.

Addresses that talk to the network while they work (/v1, /i, /hooks, Google) have none: no transaction stays open
across a network call. They open short ones of their own with `request.services.database.transaction()`.
"""

from pyramid.config import Configurator

from cwz_web.web.request import Request


def includeme(config: Configurator) -> None:
    """Install pyramid_tm with an explicit manager."""
    config.add_settings(
        {
            "tm.manager_hook": "pyramid_tm.explicit_manager",
            "tm.commit_veto": "pyramid_tm.default_commit_veto",
            "tm.activate_hook": lambda request: request.uses_transaction,
        }
    )
    config.include("pyramid_tm")


def release_connection(request: Request) -> None:
    """End the request's transaction, before a view talks to the network. What was read stays readable; what is written
    afterwards goes into `request.services.database.transaction()`."""
    request.tm.abort()
    request.tm.begin()
