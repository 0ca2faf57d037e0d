"""`cwz demo`: create the demo workspace and print its URL and credentials."""

from pathlib import Path

from cwz_web.app import prepare_database
from cwz_web.demo import contents, demo_api_key, demo_password, ensure_demo
from cwz_web.imaging.encoders import Format
from cwz_web.settings import Settings
from cwz_web.web.services import Services

SAMPLE = {
    "title": "Your first image",
    "price": "€ 0",
    "description": "Change this sentence in the URL, and its signature is no longer valid.",
}


def describe(settings: Settings) -> dict[str, str]:
    """Create the demo if it does not exist. Return its URLs and credentials, for scripts."""
    prepare_database(settings)
    serving = server_url_file(settings)
    if serving.exists():
        settings = settings.model_copy(update={"url": serving.read_text()})
    return demo_details(Services.start(settings))


def demo_details(services: Services) -> dict[str, str]:
    """Return the demo's URL, credentials, API key and image URLs."""
    settings = services.settings
    secret = settings.secrets.signing.get_secret_value()
    demo = ensure_demo(
        services.database, services.providers, services.image_service, services.passwords, services.ring, secret
    )
    return {
        "url": settings.url,
        "email": contents.EMAIL,
        "password": demo_password(secret),
        "workspace": contents.SLUG,
        "api_key": demo_api_key(secret),
        "template": str(demo.template_id),
        "image_url": settings.url + services.signed_urls.image(demo.image),
        "signed_url": settings.url
        + services.signed_urls.on_demand_image(demo.workspace_id, demo.template_id, Format.PNG, SAMPLE),
    }


def server_url_file(settings: Settings) -> Path:
    """Return the file in which a running `cwz serve` stores its URL.

    Other commands read the port from it.
    """
    return settings.var / "serving"
