"""What a process needs to answer: database, storage providers, the picture maker. Built once, kept in the registry."""

from dataclasses import dataclass

from pydantic import SecretStr

from cwz_web.accounts.google import Google
from cwz_web.accounts.passwords import Passwords
from cwz_web.accounts.sessions import BrowserTokens
from cwz_web.billing.subscriptions import Cashier
from cwz_web.crypto import KeyRing
from cwz_web.db.session import Database
from cwz_web.generation.keys import Keys
from cwz_web.generation.maker import PictureMaker
from cwz_web.generation.recipes import Recipes
from cwz_web.generation.shown import ShownLately
from cwz_web.generation.signing import Addresses
from cwz_web.generation.sources import Sources
from cwz_web.generation.usage import Meters
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.fonts import install_fonts
from cwz_web.imaging.helpers import Helpers
from cwz_web.net.client import Fetcher
from cwz_web.notify.slack import Slack
from cwz_web.notify.topics import Unsubscribing
from cwz_web.notify.webhooks import Webhooks
from cwz_web.settings import Settings
from cwz_web.storage.plugins import Providers
from cwz_web.web.limits import Limiter
from cwz_web.web.long_answers import LongAnswers

# Longer nobody waits for what somebody else changes: a few who did would leave no thread to answer anybody.
LOCK_SECONDS = 2.0
# As registered with the provider.
GOOGLE_CALLBACK = "/signin/google/callback"


@dataclass(frozen=True)
class Services:
    """The long-lived parts of a process."""

    settings: Settings
    database: Database
    providers: Providers
    fetcher: Fetcher
    maker: PictureMaker
    helpers: Helpers
    keys: Keys
    recipes: Recipes
    addresses: Addresses
    shown_lately: ShownLately
    webhooks: Webhooks
    passwords: Passwords
    browser_tokens: BrowserTokens
    ring: KeyRing
    limiter: Limiter
    long_answers: LongAnswers
    google: Google | None
    cashier: Cashier | None
    unsubscribing: Unsubscribing
    slack: Slack | None

    @property
    def meters(self) -> Meters:
        """What pictures count against."""
        return Meters(self.settings.cap, self.settings.url, self.settings.plan_caps)

    @classmethod
    def start(cls, settings: Settings) -> "Services":
        """Build them from the settings. Touches neither network nor database."""
        install_fonts(settings.node_modules, settings.fonts)
        fetcher = Fetcher(settings.net_allow)
        helpers = Helpers(settings.drawing_processes, settings.node_modules, settings.fonts)
        database = Database(settings.database_url.get_secret_value(), lock_seconds=LOCK_SECONDS)
        return cls(
            settings,
            database,
            Providers.of(settings),
            fetcher,
            PictureMaker(Engine(), Sources(fetcher), helpers),
            helpers,
            Keys(database),
            Recipes(database),
            Addresses(settings.signing_secret.get_secret_value(), settings.url),
            ShownLately(),
            Webhooks(settings.signing_secret.get_secret_value(), fetcher),
            Passwords(settings.password_pepper.get_secret_value()),
            BrowserTokens(settings.session_secret.get_secret_value(), _value(settings.session_secret_before)),
            settings.ring,
            Limiter(settings.rate_limits, settings.limit),
            LongAnswers(),
            _google(settings),
            Cashier.of(settings),
            Unsubscribing(settings.signing_secret.get_secret_value(), settings.url),
            Slack.of(settings),
        )

    def close(self) -> None:
        """End the processes that draw, and the connections to the database."""
        self.helpers.close()
        if self.cashier:
            self.cashier.stripe.close()
        self.database.dispose()


def _google(settings: Settings) -> Google | None:
    if not settings.google_client_id:
        return None
    secret = settings.google_client_secret.get_secret_value()
    return Google(settings.google_discovery_url, settings.google_client_id, secret, f"{settings.url}{GOOGLE_CALLBACK}")


def _value(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
