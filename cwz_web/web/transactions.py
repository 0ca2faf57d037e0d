"""One transaction per request: pyramid_tm commits `request.db`, or rolls it back on an error or a 4xx response.

Areas whose views call other hosts have none (`Area.uses_transaction` in `resources/base.py`).
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
            # Would look the user up outside the error views: the server's own error without a database.
            "tm.annotate_user": False,
        }
    )
    config.include("pyramid_tm")


def release_connection(request: Request) -> None:
    """End the request's transaction before a view calls another host.

    Objects that were read stay readable. Later writes need `request.services.database.transaction()`.
    """
    request.tm.abort()
    request.tm.begin()
