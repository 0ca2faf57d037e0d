"""The long-lived services of a web process: database, storage providers, rendering. Created once, in the registry."""

from dataclasses import dataclass

from pydantic import SecretStr

from cwz_web.accounts.openid import OpenIDProvider
from cwz_web.accounts.passkeys import PasskeyService, RelyingParty
from cwz_web.accounts.passwords import Passwords
from cwz_web.accounts.sessions import BrowserTokens
from cwz_web.billing.subscriptions import BillingService
from cwz_web.channels.fetch_log import FetchRecorder
from cwz_web.crypto import KeyRing
from cwz_web.db.session import Database
from cwz_web.feeds.providers.plugins import SourceRegistry
from cwz_web.generation.api_keys import ApiKeys
from cwz_web.generation.api_request_recorder import ApiRequestRecorder
from cwz_web.generation.image_service import ImageService
from cwz_web.generation.image_sources import ImageSources
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.generation.template_cache import TemplateCache
from cwz_web.generation.usage import Quotas
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.fonts import install_fonts
from cwz_web.imaging.icons import install_icons
from cwz_web.imaging.render_pool import RenderPool
from cwz_web.net.client import Fetcher
from cwz_web.net.dns import TxtResolver
from cwz_web.net.guard import OutboundPolicy
from cwz_web.notify.slack import Slack
from cwz_web.notify.topics import UnsubscribeLinks
from cwz_web.notify.webhooks import WebhookSender
from cwz_web.settings import Settings
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.web.outbound import OutboundRequests
from cwz_web.web.rate_limits import RateLimiter
from cwz_web.web.slow_requests import (
    MAX_SHARED_IMAGES,
    MAX_SHARED_IMAGES_PER_NETWORK,
    MAX_UNPACKED_FEEDS,
    MAX_WAITING,
    MAX_WAITING_PER_WORKSPACE,
    SlowRequestLimiter,
)

# How long a statement waits for a lock. A few requests that waited longer would occupy every thread.
LOCK_SECONDS = 2.0
# As registered with Google.
GOOGLE_CALLBACK = "/signin/google/callback"


@dataclass(frozen=True)
class Services:
    """The long-lived services of a process."""

    settings: Settings
    database: Database
    providers: ProviderRegistry
    feed_sources: SourceRegistry
    fetcher: Fetcher
    image_service: ImageService
    render_pool: RenderPool
    keys: ApiKeys
    api_requests: ApiRequestRecorder
    feed_fetches: FetchRecorder
    template_cache: TemplateCache
    signed_urls: SignedUrls
    webhooks: WebhookSender
    passwords: Passwords
    browser_tokens: BrowserTokens
    ring: KeyRing
    limiter: RateLimiter
    slow_requests: SlowRequestLimiter
    shared_images: SlowRequestLimiter
    unpacked_feeds: SlowRequestLimiter
    waiting: SlowRequestLimiter
    outbound: OutboundRequests
    google: OpenIDProvider | None
    billing: BillingService | None
    unsubscribe_links: UnsubscribeLinks
    slack: Slack | None

    @property
    def quotas(self) -> Quotas:
        """The monthly quotas of workspaces and API keys."""
        return Quotas(self.settings.image_limit, self.settings.url, self.settings.plan_image_limits)

    @property
    def passkeys(self) -> PasskeyService | None:
        """The ceremonies of passkeys; None if the site's URL has no host name."""
        party = RelyingParty.of(self.settings.url)
        return PasskeyService(party, self.browser_tokens) if party else None

    @property
    def provider_outbound(self) -> OutboundPolicy:
        """The hosts that the identity providers of workspaces can have: every public one, with https."""
        return OutboundPolicy(None, self.settings.network.allow)

    @property
    def txt_resolver(self) -> TxtResolver:
        """Looks up the TXT records that verify domains."""
        return TxtResolver(self.settings.network.dns)

    @classmethod
    def start(cls, settings: Settings) -> "Services":
        """Create the services from the settings; uses neither network nor database."""
        install_fonts(settings.node_modules, settings.font_folder)
        install_icons(settings.node_modules)
        outbound = OutboundRequests()
        fetcher = Fetcher(settings.network.allow, admit=outbound.slot)
        render_pool = RenderPool(settings.rendering.processes, settings.node_modules, settings.font_folder)
        database = Database(settings.database.url.get_secret_value(), lock_seconds=LOCK_SECONDS)
        return cls(
            settings,
            database,
            ProviderRegistry.of(settings),
            SourceRegistry.of(settings),
            fetcher,
            ImageService(Engine(), ImageSources(fetcher), render_pool),
            render_pool,
            ApiKeys(database),
            ApiRequestRecorder(database, is_enabled=settings.retention.request_days > 0),
            FetchRecorder(database),
            TemplateCache(database),
            SignedUrls(settings.secrets.signing.get_secret_value(), settings.url),
            WebhookSender(settings.secrets.signing.get_secret_value(), fetcher),
            Passwords(settings.secrets.password_pepper.get_secret_value()),
            BrowserTokens(settings.secrets.session.get_secret_value(), _value(settings.secrets.session_previous)),
            settings.secrets.key_ring,
            RateLimiter(settings.rate_limits, settings.limit),
            SlowRequestLimiter(),
            SlowRequestLimiter(MAX_SHARED_IMAGES, MAX_SHARED_IMAGES_PER_NETWORK),
            SlowRequestLimiter(MAX_UNPACKED_FEEDS),
            SlowRequestLimiter(MAX_WAITING, MAX_WAITING_PER_WORKSPACE),
            outbound,
            _google(settings),
            BillingService.of(settings),
            UnsubscribeLinks(settings.secrets.signing.get_secret_value(), settings.url),
            Slack.of(settings),
        )

    def close(self) -> None:
        """Stop the child processes, and close the database connections."""
        self.render_pool.close()
        self.image_service.close()
        if self.billing:
            self.billing.stripe.close()
        self.database.dispose()


def _google(settings: Settings) -> OpenIDProvider | None:
    if not settings.google.client_id:
        return None
    secret = settings.google.client_secret.get_secret_value()
    return OpenIDProvider(
        settings.google.discovery_url, settings.google.client_id, secret, f"{settings.url}{GOOGLE_CALLBACK}"
    )


def _value(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
