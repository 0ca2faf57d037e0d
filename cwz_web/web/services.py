"""What a process needs to answer: database, storage providers, the picture maker. Built once, kept in the registry."""

from dataclasses import dataclass

from cwz_web.db.session import Database
from cwz_web.generation.maker import PictureMaker
from cwz_web.generation.signing import Addresses
from cwz_web.generation.sources import Sources
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.fonts import install_fonts
from cwz_web.net.client import Fetcher
from cwz_web.settings import Settings
from cwz_web.storage.plugins import Providers


@dataclass(frozen=True)
class Services:
    """The long-lived parts of a process."""

    settings: Settings
    database: Database
    providers: Providers
    maker: PictureMaker
    addresses: Addresses

    @classmethod
    def start(cls, settings: Settings) -> "Services":
        """Build them from the settings. Touches neither network nor database."""
        install_fonts(settings.node_modules, settings.var / "fonts")
        return cls(
            settings,
            Database(settings.database_url.get_secret_value()),
            Providers(settings.storage, settings.plugins_block),
            PictureMaker(Engine(), Sources(Fetcher(settings.net_allow))),
            Addresses(settings.signing_secret.get_secret_value()),
        )
