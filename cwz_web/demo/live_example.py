"""The design of the live example on the front page: a product on a color that the visitor chooses."""

from functools import lru_cache
from importlib.resources import files

from cwz_web.demo.starters import Starter, read_starter
from cwz_web.i18n import gettext_noop

SLUG = "live-example"
# The photos, each of the sample row at its position, with their labels.
PRODUCTS = {
    "sneaker": gettext_noop("Shoe"),
    "headphones": gettext_noop("Headphones"),
    "serum": gettext_noop("Bottle"),
    "armchair": gettext_noop("Chair"),
}


@lru_cache(maxsize=1)
def open_live_example() -> Starter:
    """Return the design; it is a starter that the gallery does not show."""
    return read_starter(SLUG, files(__package__).joinpath("live_example.json").read_bytes())
