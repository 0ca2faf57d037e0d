"""Page rendering: Jinja2 with autoescape and strict undefined, icons, static files and filters."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from pyramid.config import Configurator
from pyramid.view import view_config
from pyramid.viewderivers import VIEW

from cwz_web.i18n import (
    as_clause,
    current_language,
    current_locale,
    day_and_month,
    direction,
    find_plural,
    gettext,
    gettext_noop,
    in_sentence,
    long_date,
    money,
    number,
    short_day,
    time_ago,
    to_local,
)
from cwz_web.notify.emails import PRODUCT
from cwz_web.stored_messages import translate_stored
from cwz_web.web.request import Request
from cwz_web.workspaces.models import Role

# The pages in the navigation of a workspace, by their path in it.
PAGE_NAMES = {
    "": gettext_noop("Overview"),
    "templates": gettext_noop("Templates"),
    "feeds": gettext_noop("Feeds"),
    "campaigns": gettext_noop("Campaigns"),
    "runs": gettext_noop("Runs"),
    "images": gettext_noop("Images"),
    "uploads": gettext_noop("Uploads"),
    "brand": gettext_noop("Brand"),
    "storage": gettext_noop("Storage"),
    "api": gettext_noop("API"),
    "members": gettext_noop("Members"),
    "audit": gettext_noop("Activity"),
    "billing": gettext_noop("Billing"),
    "usage": gettext_noop("Usage"),
    "settings": gettext_noop("Settings"),
}
# Those that G and this key open.
PAGE_KEYS = {
    "": "o",
    "templates": "t",
    "feeds": "f",
    "runs": "r",
    "images": "i",
    "uploads": "u",
    "brand": "b",
    "settings": "s",
}
V = TypeVar("V", bound=Callable[[Any, Request], Any])

MINUTE, HOUR, DAY, YEAR = 60, 3600, 24 * 3600, 365 * 24 * 3600
MB = 1024**2
# The first match wins: browsers name other browsers as well.
BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def ago(moment: datetime) -> Markup:
    """Return how long ago a moment was, or its date, as a `time` element with the exact time on hover."""
    exact = to_local(moment)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact.isoformat(timespec="seconds"), _to_the_second(exact), _since(exact)
    )


def exact(at: datetime) -> Markup:
    """Return a moment to the second, as a `time` element."""
    moment = to_local(at)
    return Markup('<time datetime="{}">{}</time>').format(
        moment.isoformat(timespec="milliseconds"), _to_the_second(moment)
    )


def moment(at: datetime) -> Markup:
    """Return a moment in the future to the minute, as a `time` element."""
    exact = to_local(at)
    return Markup('<time datetime="{}">{}, {}</time>').format(
        exact.isoformat(timespec="seconds"), short_day(exact), exact.strftime("%H:%M %Z")
    )


def _to_the_second(moment: datetime) -> str:
    return f"{long_date(moment)}, {moment:%H:%M:%S %Z}"


def _since(moment: datetime) -> str:
    seconds = (datetime.now(UTC) - moment).total_seconds()
    if seconds >= 2 * DAY:
        return long_date(moment)
    if seconds >= HOUR:
        return time_ago(int(seconds // HOUR), "hour")
    return time_ago(int(seconds // MINUTE), "minute") if seconds >= MINUTE else gettext("just now")


def bytes_size(size: int) -> str:
    """Format a number of bytes."""
    if size >= MB:
        return gettext("%(size)s MB", size=number(round(size / MB, 1), digits=1))
    return gettext("%(size)s KB", size=max(round(size / 1024), 1))


def duration(seconds: float) -> str:
    """Format a number of seconds."""
    if seconds < MINUTE:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{number(round(minutes / 60, 1), digits=1)} h"


def at_render_time(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that Jinja does not apply to a constant once, in the locale in which it compiles the template."""

    @pass_context
    def apply(_context: Context, *values: Any, **options: Any) -> Any:
        return function(*values, **options)

    return apply


def device(user_agent: str) -> str:
    """Return the names of a browser and its operating system, guessed from its User-Agent."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), gettext("An app"))
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    return gettext("%(browser)s on %(system)s", browser=browser, system=system) if system else browser


@cache
def static_path() -> str:
    """Return the URL path of static files; it contains the release, so browsers can cache them for a year.

    Cached: the release is read from a file, and a page of the editor needs the path for each font.
    """
    return f"/static/{version('cwz-web')}"


class Icons:
    """Icons of the npm package lucide-static, inlined so that they have the color of the text."""

    def __init__(self, node_modules: Path) -> None:
        self._folder = node_modules / "lucide-static" / "icons"

    @lru_cache(maxsize=200)  # noqa: B019 - one object per process
    def __call__(self, name: str) -> Markup:
        """Return the icon's SVG, hidden from screen readers: a text is always beside it."""
        svg = (self._folder / f"{name}.svg").read_text()
        svg = svg[svg.index("<svg") :].replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
        return Markup(svg)  # noqa: S704 - a file of a pinned package


def template_values(model: Any) -> Any:
    """Return the fields of a view model (a dataclass) by name; any other value unchanged."""
    if is_dataclass(model) and not isinstance(model, type):
        return {field.name: getattr(model, field.name) for field in fields(model)}
    return model


def view_model_deriver(view: Callable[[Any, Request], Any], info: Any) -> Callable[[Any, Request], Any]:
    """Let views return dataclasses for their template (a Pyramid view deriver)."""
    return lambda context, request: template_values(view(context, request))


def includeme(config: Configurator) -> None:
    """Install the renderer, the static files, and the predicate `partial`."""
    services = config.registry["services"]
    node_modules = services.settings.node_modules
    config.add_settings(
        {
            "jinja2.undefined": "strict",
            "jinja2.trim_blocks": True,
            "jinja2.lstrip_blocks": True,
            "jinja2.directories": "cwz_web:templates",
        }
    )
    config.include("pyramid_jinja2")
    config.commit()
    environment = config.get_jinja2_environment()
    # Templates name others by their path in the folder. pyramid_jinja2 would compile each again for every template that
    # names it: about 900 instead of 200, of which Jinja2 caches 400.
    environment.join_path = lambda name, parent: name
    # The variables of a message are replaced by Jinja, which escapes them.
    environment.install_gettext_callables(gettext, find_plural, newstyle=True)
    environment.policies["ext.i18n.trimmed"] = True
    filters: dict[str, Callable[..., Any]] = {
        "ago": ago,
        "as_clause": as_clause,
        "bytes": bytes_size,
        "day_and_month": day_and_month,
        "device": device,
        "duration": duration,
        "exact": exact,
        "in_sentence": in_sentence,
        "long_date": long_date,
        "moment": moment,
        "money": money,
        "number": number,
        "role_label": lambda role: Role(role).label,
        "short_day": short_day,
        "translate_stored": translate_stored,
    }
    environment.filters |= {name: at_render_time(function) for name, function in filters.items()}
    environment.globals |= {"icon": Icons(node_modules), "product": PRODUCT, "page_keys": PAGE_KEYS}
    environment.globals["page_name"] = lambda page: gettext(PAGE_NAMES[page])
    environment.globals["static"] = static_path()
    environment.globals |= {
        "current_language": current_language,
        "current_locale": current_locale,
        "direction": direction,
    }
    max_age = 0 if services.settings.development else YEAR
    config.add_static_view(f"{static_path()}/app", "cwz_web:static", cache_max_age=max_age)
    packages = (
        ("fonts", "@expo-google-fonts"),  # those that the editor shows texts in
        ("htmx", "htmx.org/dist"),
        ("inter", "@fontsource-variable/inter/files"),
    )
    for name, package in packages:
        config.add_static_view(f"{static_path()}/{name}", str((node_modules / package).resolve()), cache_max_age=YEAR)
    config.add_view_predicate("partial", PartialPredicate)
    config.add_view_deriver(view_model_deriver, name="view_model", under="rendered_view", over=VIEW)


def page_view(page: str, part: str, *, request_method: str = "GET", **options: Any) -> Callable[[V], V]:
    """Register a function as the view of a page and of the part of the page that htmx requests.

    Args:
        page: The template of the page.
        part: The template of the part.
        request_method: The HTTP method.
        options: What `view_config` takes besides: context, name, permission, ...
    """

    def decorate(view: V) -> V:
        for renderer, partial in ((page, False), (part, True)):
            # Venusian registers a view for the module of the calling frame: one level up, not this one.
            register = view_config(
                request_method=request_method, renderer=renderer, partial=partial, _depth=1, **options
            )
            register(view)
        return view

    return decorate


class PartialPredicate:
    """`partial=True`: the view answers htmx requests for a part of a page; `partial=False`: all other requests.

    A boosted link and a history restore get the whole page.
    """

    def __init__(self, value: bool, info: Any) -> None:
        self.value = value

    def text(self) -> str:
        return f"partial = {self.value}"

    phash = text

    def __call__(self, context: Any, request: Request) -> bool:
        headers = request.headers
        is_htmx = headers.get("HX-Request") == "true" and headers.get("HX-Request-Type", "partial") == "partial"
        needs_page = headers.get("HX-Boosted") == "true" or headers.get("HX-History-Restore-Request") == "true"
        return (is_htmx and not needs_page) == self.value
