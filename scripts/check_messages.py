"""Check that the interface can be translated, and that its catalogs are complete.

Print each text of a template that is not marked for translation, and each message that a catalog lacks or translates
with other variables. Exit with status 1 if there is any. With paths of templates, check only these.
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from babel.messages.catalog import Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po
from jinja2 import Environment, nodes

ROOT = Path(__file__).parent.parent
# As in `make messages`.
KEYWORDS = {**DEFAULT_KEYWORDS, "gettext_noop": None, "gettext_lazy": None}
TEMPLATES = ROOT / "cwz_web" / "templates"
# Pages that are not translated: for developers, and documents in English.
ENGLISH = ("development/", "docs/", "public/privacy.jinja2", "ops.jinja2")
# Attributes whose values users read or hear.
ATTRIBUTES = ("alt", "aria-description", "aria-label", "aria-valuetext", "content", "label", "placeholder", "title")
# Metadata that is shown: `content` of a name or property that ends so.
METADATA = ("alt", "description", "title")
# Blocks of templates that hold classes.
CLASS_BLOCKS = ("beside", "shape")
# Elements whose text is not language.
CODE = ("code", "kbd", "pre", "script", "style", "textarea")
# Names and signs that are the same in every language.
NAMES = re.compile(
    r"ConnectWyze|JSON Lines|UTC|API|URL|CSV|JPEG|PNG|WebP|AVIF|Slack|Google|Stripe|OpenAPI|x|px|MB|KB|ms"
    r"|width=device-width|initial-scale|light dark|https?:\S+|\S+@\S+|[\w.…]+/[\w.]+|rotate\("
)
MARKS = {"_", "gettext", "ngettext"}
# Macros whose caller's text is code.
CODE_MACROS = ("code_block", "copy_block")
# A name can begin with a vowel: “Lignes de export.csv” would need an elision, quotes do not.
ELISION = re.compile(
    r"\b(?:[Dd]e|que|lorsque|puisque) (?:<[^>]+>)?(?:%\(|\{)(?:campaign|column|email|feed|feed_name|file|key|name"
    r"|provider|role|source|target|template|template_name|user_email|workspace)(?:\)s|\})"
)
SENTENCE = re.compile(r"[A-Z][a-z]+($|[ ,.:…?])")


class TextParser(HTMLParser):
    """Collect the texts of a page that users read."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._code += tag in CODE
        values = dict(attrs)
        metadata = values.get("name") or values.get("property") or ""
        for name, value in attrs:
            if value and name in ATTRIBUTES and (name != "content" or metadata.endswith(METADATA)):
                self.texts.append(value)

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in CODE and self._code > 0

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.texts.append(data)


def is_language(text: str) -> bool:
    """Return whether a text has words to translate; that of a macro can be a part of attributes."""
    return '"' not in text and re.search(r"[^\W\d_]{2,}", NAMES.sub("", text)) is not None


def parse_template(source: str) -> nodes.Template:
    """Parse a template."""
    environment = Environment(extensions=["jinja2.ext.i18n", "jinja2.ext.do"], trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - it renders nothing
    environment.newstyle_gettext = True  # type: ignore[attr-defined]
    return environment.parse(source)


def unmarked_texts(source: str) -> Iterator[str]:
    """Yield the texts of a template that are not marked for translation."""
    tree = parse_template(source)
    parser = TextParser()
    classes = {id(each) for block in tree.find_all(nodes.Block) if block.name in CLASS_BLOCKS for each in block.body}
    code = {
        id(output)
        for block in tree.find_all(nodes.CallBlock)
        if isinstance(block.call.node, nodes.Name) and block.call.node.name in CODE_MACROS
        for output in block.find_all(nodes.Output)
    }
    for output in tree.find_all(nodes.Output):
        if id(output) not in classes | code:
            # An ellipsis replaces an expression: it is not a letter, so that an expression alone is not reported.
            texts = (node.data if isinstance(node, nodes.TemplateData) else "\u2026" for node in output.nodes)
            parser.feed("".join(texts))
    parser.close()
    yield from filter(is_language, parser.texts)
    marked = {
        id(each)
        for call in tree.find_all(nodes.Call)
        if isinstance(call.node, nodes.Name) and call.node.name in MARKS
        for each in call.find_all(nodes.Const)
    }
    for const in tree.find_all(nodes.Const):
        if isinstance(const.value, str) and id(const) not in marked and SENTENCE.match(const.value):
            yield const.value


def has_other_count(source: str) -> bool:
    """Return whether a plural of a template is chosen by another variable than `count`, which it shows."""
    calls = parse_template(source).find_all(nodes.Call)
    plurals = [call for call in calls if isinstance(call.node, nodes.Name) and call.node.name == "ngettext"]
    return any(
        call.args[2] not in [keyword.value for keyword in call.kwargs if keyword.key == "count"] for call in plurals
    )


def check_templates(paths: list[Path]) -> Iterator[str]:
    """Yield the faults of templates."""
    for path in paths:
        name = str(path.relative_to(TEMPLATES))
        if name.startswith(ENGLISH):
            continue
        source = path.read_text()
        if has_other_count(source):
            yield f"cwz_web/templates/{name}: the first variable of a plural is not `count`"
        for text in unmarked_texts(source):
            line = " ".join(text.split())
            yield f"cwz_web/templates/{name}: not marked for translation: {line[:100]}"


def check_catalogs() -> Iterator[str]:
    """Yield the faults of the catalogs."""
    with (ROOT / "babel.cfg").open() as file:
        method_map, options_map = parse_mapping_cfg(file)
    messages = {
        message if isinstance(message, str) else tuple(message)
        for _, _, message, _, _ in extract_from_dir(ROOT, method_map, options_map, KEYWORDS)
    }
    for path in sorted((ROOT / "cwz_web" / "locale").glob("*.po")):
        with path.open("rb") as po:
            catalog = read_po(po, locale=path.stem)
        translated = {message.id: message for message in catalog if message.id}
        for missing in sorted(messages - translated.keys(), key=str):
            yield f"{path.name}: no message {missing!r}. Run `make messages` and translate it"
        for message in translated.values():
            yield from (f"{path.name}: {message.id!r} {fault}" for fault in faults_of(message))
            if path.stem == "fr" and ELISION.search(str(message.string)):
                yield f"{path.name}: {message.id!r} has a name after a word that elides: put the name into « »"


def faults_of(message: Message) -> Iterator[str]:
    """Yield what is wrong with a translation."""
    ids = message.id if isinstance(message.id, tuple) else (message.id,)
    strings = message.string if isinstance(message.string, tuple | list) else (message.string,)
    if message.fuzzy or not all(strings):
        yield "is not translated"
        return
    allowed = {variable for each in ids for variable in variables_of(each)}
    for text in strings:
        if not variables_of(text) <= allowed or (len(ids) == 1 and variables_of(text) != allowed):
            yield f"has other variables: {text!r}"
        # A message with `%%` is formatted, one with a single sign is not.
        if "%%" in text and not any("%%" in each for each in ids):
            yield f"has a doubled percent sign: {text!r}"
        if has_single_percent(text) and not any(map(has_single_percent, ids)):
            yield f"has a percent sign that is not doubled: {text!r}"
        # Templates write messages into attributes, and do not escape them.
        if '"' in text and not any('"' in each for each in ids):
            yield f"has a straight quotation mark: {text!r}"


def has_single_percent(text: str) -> bool:
    """Return whether a text has a percent sign that is neither doubled nor a part of a variable."""
    return "%" in re.sub(r"%%|%\(\w+\)s", "", text)


def variables_of(text: str) -> set[str]:
    """Return the names of the variables of a message."""
    return set(re.findall(r"%\(\w+\)s|\{\w+\}", text))


def main() -> None:
    chosen = [Path(argument).resolve() for argument in sys.argv[1:]]
    faults = [*check_templates(chosen or sorted(TEMPLATES.rglob("*.jinja2"))), *([] if chosen else check_catalogs())]
    if faults:
        raise SystemExit("\n".join(faults))


if __name__ == "__main__":
    main()
