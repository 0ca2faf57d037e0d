"""Examples of the documentation, as the pages of the product show them to a signed-in reader."""

from webtest import TestApp

from cwz_web.generation.models import Template
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory, small_document

NAME, TITLE = "Autumn card", """It's "half" price: $HOME `id` \\ é"""


def add_own_template(make: Factory, workspace: Workspace) -> Template:
    """Create a template that has nothing of the sample: other values, with quotes, and another size."""
    document = small_document(sizes=[{"name": "square", "width": 100, "height": 100}])
    document["fields"][0]["default"] = TITLE
    return make.template(workspace, document, name=NAME)


def reader_examples(app: TestApp, guide: str, language: str) -> list[str]:
    """Return the code of a guide in a language."""
    page = app.get(f"/docs/guides/{guide}").html
    return [code.text for code in page.select(f"main code.language-{language}")]
