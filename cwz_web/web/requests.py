"""The class of our requests, which has everything that `add_request_method` declared, made once.

Pyramid makes one anew for each request: a twelfth of what a picture that is at hand already costs.
"""

from pyramid.config import Configurator
from pyramid.interfaces import IRequestExtensions
from pyramid.request import Request


def includeme(config: Configurator) -> None:
    """Install it. Included last: what is declared later would be lost to it, and found by Pyramid's way."""
    config.commit()
    extensions = config.registry.getUtility(IRequestExtensions)
    config.set_request_factory(type("Request", (Request,), {**extensions.methods, **extensions.descriptors}))
    extensions.methods.clear()
    extensions.descriptors.clear()
