"""The class of our requests, which has everything that `add_request_method` declared, made once.

Pyramid makes one anew for each request: a twelfth of what an image that is at hand already costs.
"""

from collections.abc import Callable

from pyramid.config import Configurator
from pyramid.interfaces import IRequestExtensions
from pyramid.request import Request
from pyramid.response import Response

# What a tween is put around.
Handler = Callable[[Request], Response]

# Bytes of a body that are kept in memory, where WebOb would write all above 10 KB into a file: as much as the API reads
# at once.
IN_MEMORY = 256 * 1024


def includeme(config: Configurator) -> None:
    """Install it. Included last: what is declared later would be lost to it, and found by Pyramid's way."""
    config.commit()
    extensions = config.registry.getUtility(IRequestExtensions)
    ours = {**extensions.methods, **extensions.descriptors, "request_body_tempfile_limit": IN_MEMORY}
    config.set_request_factory(type("Request", (Request,), ours))
    extensions.methods.clear()
    extensions.descriptors.clear()
