"""What the examples of the documentation are about: a template, a feed and an API key of the reader, or samples.

The documents name samples: `product-card` with a title and a price, its size `story`, and the installation
https://images.example.com. The demo workspace has such a template. The server never puts an API key into an example,
only its name beside it.
"""

import json
import re
from dataclasses import dataclass, replace

from cwz_web.feeds.queries import list_feeds
from cwz_web.generation.key_list import find_newest_key
from cwz_web.generation.templates import find_template, list_template_names, load_design
from cwz_web.security import SignedInUser
from cwz_web.web.request import Request
from cwz_web.web.text import shorten

SAMPLE_ID = "0190b0a0-0000-7000-8000-000000000002"
SAMPLE_URL = "https://images.example.com"
# An example with more values would not be read.
MAX_VALUES = 8
MAX_VALUE = 60
# In a guide, where they are on one line.
MAX_VALUES_IN_LINE = 3
# In JSON and Python, and in TypeScript.
_sample_values = re.compile(r'\{ ?"?title"?: "Stoneware mug", "?price"?: "24\.00" ?\}')
_code = re.compile(r"(?<=^```)([a-z]+\n)(.*?)(?=^```$)", re.MULTILINE | re.DOTALL)
# Parts of a template that the one of the reader need not have.
_other_parts = ('"layers"', "layers=", "layers:", '"reviews"')


@dataclass(frozen=True)
class ExampleData:
    """What the examples are about.

    Attributes:
        workspace: the name of the reader's workspace; None for the samples.
        template_name: for people; None for the sample.
        template: its slug.
        data: values of its fields.
        size: the last one of its sizes.
        key: the name of an API key that can render, with its prefix.
    """

    workspace: str | None = None
    template_name: str | None = None
    template: str = "product-card"
    template_id: str = SAMPLE_ID
    feed_id: str = SAMPLE_ID
    data: tuple[tuple[str, str], ...] = (("title", "Stoneware mug"), ("price", "24.00"))
    size: str = "story"
    key: str | None = None


def find_example_data(request: Request) -> ExampleData:
    """Return what is newest in a workspace of the reader: that of the parameter `workspace`, or the first one."""
    user = request.identity
    if not isinstance(user, SignedInUser):
        return ExampleData()
    accessible = [access for access in user.workspaces if user.can_open(access)]
    slug = request.GET.get("workspace")
    access = next((each for each in accessible if each.slug == slug), accessible[0] if accessible else None)
    if access is None:
        return ExampleData()
    workspace_id = access.workspace_id
    with request.services.database.transaction(workspace_id) as db:
        feeds = list_feeds(db, workspace_id, limit=1)
        found = ExampleData(
            workspace=access.name,
            feed_id=str(feeds[0].id) if feeds else SAMPLE_ID,
            key=find_newest_key(db, workspace_id),
        )
        newest = next(iter(list_template_names(db, workspace_id, limit=1)), "")
        template = find_template(db, workspace_id, newest) if newest else None
        if template is None:
            return found
        document = load_design(db, template).document
    fields = [field for field in document.fields if field.type not in ("image", "list") and field.default]
    return replace(
        found,
        template_name=template.name,
        template=template.slug,
        template_id=str(template.id),
        data=tuple((field.name, shorten(field.default, MAX_VALUE)) for field in fields[:MAX_VALUES]),
        size=document.size_names[-1],
    )


def is_about_samples(text: str) -> bool:
    """Return whether a document in Markdown has code about the sample template."""
    return any(_is_about_template(code) for _, code in _code.findall(text))


def fill_examples(text: str, url: str, data: ExampleData) -> str:
    """Return a document in Markdown that is about the reader's installation, and its code about their template.

    Args:
        text: the document.
        url: the URL of the installation.
        data: what its examples are about.
    """

    def fill(found: re.Match[str]) -> str:
        code = found[2]
        if data.template_name is not None and _is_about_template(code):
            # A replacement text would have escapes.
            code = _sample_values.sub(lambda _: _literal(dict(data.data[:MAX_VALUES_IN_LINE])), code)
            code = code.replace('"story"', _literal(data.size)).replace("product-card", data.template)
        return found[1] + code

    return _code.sub(fill, text.replace(SAMPLE_URL, url))


def _is_about_template(code: str) -> bool:
    return "product-card" in code and not any(part in code for part in _other_parts)


def _literal(value: object) -> str:
    """Return a value as JSON that can stand in Python, in TypeScript, and in a shell between single quotes."""
    return json.dumps(value, ensure_ascii=False).replace("'", "\\u0027")
