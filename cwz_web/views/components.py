"""`/dev/components`: design tokens, and every component in every state. In production the pages do not exist."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any
from uuid import UUID

from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.db.pagination import Sort, with_reverse
from cwz_web.resources.application import DevelopmentRoot
from cwz_web.web.forms import SubmittedForm
from cwz_web.web.lists import Filter, ListControls
from cwz_web.web.request import Request

_TOKEN = re.compile(r"^  --([a-z0-9-]+): (.+);$", re.MULTILINE)
_RULE = re.compile(r"^([^@\s/][^{}]*) (\{[^{}]*\})$", re.MULTILINE)
# A state that only a pointer or the keyboard causes, and the class that shows it on this page.
_STATES = {":hover": ".is-hover", ":focus-visible": ".is-focus", ":focus": ".is-focus"}
_STATE = re.compile("|".join(_STATES) + r"(?![-\w])")
THEMES = {"auto": "System", "light": "Light", "dark": "Dark"}


@dataclass(frozen=True)
class Token:
    """A design token: its name without dashes, and its value as written."""

    name: str
    value: str

    @property
    def is_color(self) -> bool:
        """Whether the value is a color, one for each theme."""
        return self.value.startswith("light-dark(")

    @property
    def is_length(self) -> bool:
        """Whether the value is a length, such as a space, a radius or a size of texts."""
        return self.value.endswith("rem")


@dataclass(frozen=True)
class ComponentsPage:
    """What development/components.jinja2 shows.

    Attributes:
        tokens: The tokens in the order of tokens.css.
        theme: The theme of the page, one of `themes`.
        themes: The labels of the themes.
        list: A list with rows, a filter in use and more pages.
        nothing: The same list without rows that match.
        form: A form without errors.
        invalid: The form with errors.
    """

    tokens: list[Token]
    theme: str
    themes: dict[str, str]
    list: ListControls
    nothing: ListControls
    form: SubmittedForm[Any]
    invalid: SubmittedForm[Any]


@view_config(
    context=DevelopmentRoot,
    name="components",
    request_method="GET",
    renderer="development/components.jinja2",
    permission=NO_PERMISSION_REQUIRED,
)
def components_page(context: DevelopmentRoot, request: Request) -> ComponentsPage:
    """Show the design tokens and the components, in the theme of `?theme=`."""
    theme = request.GET.get("theme", request.theme)
    state = Filter("state", "State", {"": "All states", "failed": "With errors"}, "failed")
    sorts = with_reverse({"newest": Sort("Newest first", reverse_label="Oldest first"), "name": Sort("Name")})
    shown = ListControls("runs", filters=(state,), sorts=sorts, sort="newest", count=41, next_after=UUID(int=1))
    return ComponentsPage(
        tokens=find_tokens(_read("tokens.css")),
        theme=theme if theme in THEMES else "auto",
        themes=THEMES,
        list=shown,
        nothing=replace(shown, search="mug", count=0, next_after=None),
        form=SubmittedForm(None, {}, {}),
        invalid=SubmittedForm(None, {"invalid": "Enter a name. It appears in emails."}, {"invalid": ""}),
    )


@view_config(context=DevelopmentRoot, name="states.css", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def states_style_sheet(context: DevelopmentRoot, request: Request) -> Response:
    """Return the rules that show a color or length for each token, and states without a pointer or a keyboard."""
    swatches = (f".token-{token.name} {{ {_show(token)}: var(--{token.name}); }}" for token in shown_tokens())
    rules = "\n".join([*swatches, *find_state_rules(_read("components.css"))])
    return Response(rules, content_type="text/css", charset="utf-8")


def shown_tokens() -> list[Token]:
    """Return the tokens that a style of their own can show."""
    return [token for token in find_tokens(_read("tokens.css")) if token.is_color or token.is_length]


def find_tokens(style_sheet: str) -> list[Token]:
    """Return the custom properties of a style sheet with one on each line."""
    return [Token(name, value) for name, value in _TOKEN.findall(style_sheet)]


def find_state_rules(style_sheet: str) -> Iterator[str]:
    """Yield the rules on one line that need a pointer or the keyboard, with classes instead."""
    for selector, body in _RULE.findall(style_sheet):
        if _STATE.search(selector):
            yield f"{_STATE.sub(lambda match: _STATES[match[0]], selector)} {body}"


def _show(token: Token) -> str:
    return "background" if token.is_color else "width"


def _read(name: str) -> str:
    return (files("cwz_web") / "static" / name).read_text()
