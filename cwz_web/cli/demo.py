"""`cwz demo`: the demo workspace, and how to get in."""

from pathlib import Path

from cwz_web.app import prepare_database
from cwz_web.demo import contents, demo_api_key, demo_password, ensure_demo
from cwz_web.imaging.encoders import Format
from cwz_web.settings import Settings
from cwz_web.web.services import Services

SAMPLE = {
    "title": "Your first image",
    "price": "€ 0",
    "description": "Change this sentence in the address: the signature will not fit any more.",
}


def describe(settings: Settings) -> dict[str, str]:
    """Make the demo if it is not there. Returns what a script needs to find its way."""
    prepare_database(settings)
    serving = serving_file(settings)
    if serving.exists():
        settings = settings.model_copy(update={"url": serving.read_text()})
    return facts_of(Services.start(settings))


def facts_of(services: Services) -> dict[str, str]:
    """The demo's address, sign-in, key and images."""
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


def serving_file(settings: Settings) -> Path:
    """Where `cwz serve` notes its address while it runs, so that other commands print the right port."""
    return settings.var / "serving"
