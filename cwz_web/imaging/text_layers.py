"""Text layers and their spans."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from cwz_web.i18n import gettext
from cwz_web.imaging.bindings import BoundText, parse_bindings
from cwz_web.imaging.brand_references import is_reference, read_reference
from cwz_web.imaging.document_parts import (
    MAX_FONT_SIZE,
    PIXELS,
    Bound,
    Color,
    DocumentPart,
    ExpressionText,
    Font,
    new_key,
)
from cwz_web.imaging.layer_base import (
    OF_LOCALE,
    SPAN_BINDABLE,
    MaskableLayer,
    check_bound,
    describe_bound_properties,
    split_bound_properties,
)
from cwz_web.imaging.line_breaking import can_hyphenate
from cwz_web.imaging.styles import Fill, Gradient, Stroke

MAX_SPANS = 30


def _check_style(value: str) -> Any:
    if not is_reference(value):
        raise ValueError(gettext("Write the text style as brand:name"))
    return read_reference("style", value)


class TextSpan(DocumentPart):
    """A part of a text with a style of its own; what it leaves open is as in the layer.

    `scale` is the font size relative to the layer's. A `super` or `sub` belongs to the span before it: the capitals and
    digits of a `super` are as high as those of that span, and its scale is 0.6 of that, unless it has one of its own.
    `highlight` is a color behind the letters. `gradient` colors the letters of all spans that have the same one.
    `bound` has the expressions of properties, as that of a layer has.
    """

    model_config = ConfigDict(json_schema_extra=describe_bound_properties)

    text: Bound
    font: Font | None = None
    weight: Annotated[int | None, Field(ge=100, le=900, multiple_of=100)] = None
    italic: bool | None = None
    scale: Annotated[float | None, Field(ge=0.1, le=4)] = None
    color: Color | None = None
    gradient: Gradient | None = None
    strike: bool | None = None
    underline: bool | None = None
    position: Literal["normal", "super", "sub"] = "normal"
    highlight: Color | None = None
    bound: dict[str, ExpressionText] = new_key({})

    @model_validator(mode="before")
    @classmethod
    def _split_bound_properties(cls, span: Any) -> Any:
        return split_bound_properties(span, SPAN_BINDABLE) if isinstance(span, dict) else span

    @model_validator(mode="after")
    def _check_bound(self) -> Self:
        check_bound(self.bound.keys(), SPAN_BINDABLE)
        return self


class TextLayer(MaskableLayer):
    """Text: wrapped into the box, reduced down to `min_size`, then cut with an ellipsis.

    This is the `fit` `shrink`; `grow` enlarges it up to `max_size` first, `ellipsis` and `clip` keep its size and cut
    it with and without an ellipsis. `balance` makes lines about as long as each other.
    It has a `text` in one style, or `spans` in several. Spans are joined as they are: blanks between them are a part of
    their texts. A span whose text is empty in a row disappears. All lines are as high as the largest span needs.

    `gradient` colors the ink of the letters in the place of `color`. `figures` that are tabular have one width.
    `direction` is that of paragraphs; `auto` is the direction of their first letter. `language` (BCP 47) affects case
    and hyphens; `auto` is that of the image's locale. Words are hyphenated only with `hyphens`.
    Paragraphs are the lines of the text as it is written: they are `paragraph_gap` apart, relative to the font size.
    With a `list_style`, each has a `bullet` or a number, beside which its lines are indented.
    `background`, `radius` and `border` render a box behind the text: the layer's own, with `hug` one that fits the
    text, or with `box` `lines` one behind each line.
    `style` is a text style of the brand (`brand:heading`): it decides the font, weight, size, color and line height.
    When it changes, those of them change that are still as in the style.
    """

    type: Literal["text"]
    text: Bound | None = None
    spans: Annotated[tuple[TextSpan, ...], Field(max_length=MAX_SPANS)] = new_key(())
    style: Annotated[str, AfterValidator(_check_style)] | None = new_key(None)
    font: Font = "Inter"
    weight: Annotated[int, Field(ge=100, le=900, multiple_of=100)] = 400
    italic: bool = False
    size: Annotated[int, Field(ge=6, le=MAX_FONT_SIZE), PIXELS]
    min_size: Annotated[int | None, Field(ge=6, le=MAX_FONT_SIZE), PIXELS] = None
    max_size: Annotated[int | None, Field(ge=6, le=MAX_FONT_SIZE), PIXELS] = new_key(None)
    fit: Literal["shrink", "grow", "ellipsis", "clip"] = new_key("shrink")
    balance: bool = new_key(False)
    color: Color = "#111111"
    gradient: Gradient | None = new_key(None)
    strike: bool = new_key(False)
    underline: bool = new_key(False)
    figures: Literal["default", "tabular"] = new_key("default")
    align: Literal["start", "center", "end", "justify"] = "start"
    valign: Literal["top", "middle", "bottom"] = "top"
    line_height: Annotated[float, Field(ge=0.7, le=3)] = 1.2
    letter_spacing: Annotated[float, Field(ge=-20, le=100), PIXELS] = 0
    max_lines: Annotated[int, Field(ge=1, le=50)] = 1
    paragraph_gap: Annotated[float, Field(ge=0, le=5)] = new_key(0)
    list_style: Literal["none", "bullets", "numbers"] = new_key("none")
    bullet: Annotated[str, Field(min_length=1, max_length=8, pattern=r"^\S+$")] = new_key("•")
    case: Literal["none", "upper", "lower", "title"] = "none"
    direction: Literal["auto", "ltr", "rtl"] = "auto"
    language: Annotated[str | None, Field(pattern=r"^(auto|[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3})$")] = None
    hyphens: Literal["none", "auto"] = "none"
    stroke: Stroke | None = None
    background: Fill | None = None
    padding: Annotated[int, Field(ge=0, le=500), PIXELS] = 0
    hug: bool = False
    box: Literal["layer", "lines"] = new_key("layer")

    @model_validator(mode="after")
    def _check_spans(self) -> Self:
        if (self.text is None) == (not self.spans):
            raise ValueError(gettext("Enter either a text or spans"))
        if (self.fit == "grow") != (self.max_size is not None):
            raise ValueError(gettext("The fit “grow” needs a maximum size, and other fits have none"))
        if self.max_size is not None and self.max_size < self.size:
            raise ValueError(
                gettext("The maximum size is smaller than the size. Enter at least %(size)s", size=self.size)
            )
        largest = max((span.scale or 1 for span in self.spans), default=1) * self.largest_size
        if largest > MAX_FONT_SIZE:
            raise ValueError(
                gettext(
                    "A span is %(size)s pixels high; the limit is %(max)s. Reduce its scale",
                    size=f"{largest:g}",
                    max=MAX_FONT_SIZE,
                )
            )
        return self

    @model_validator(mode="after")
    def _check_hyphens(self) -> Self:
        can = self.language and (self.language == OF_LOCALE or can_hyphenate(self.language))
        if self.hyphens == "auto" and not can:
            raise ValueError(gettext("Enter a language that has hyphenation, such as de or en-GB, or auto"))
        return self

    @model_validator(mode="after")
    def _check_list(self) -> Self:
        if self.list_style != "none" and self.align not in ("start", "justify"):
            raise ValueError(gettext("A list cannot have the align %(align)s. Use start or justify", align=self.align))
        if self.list_style != "bullets" and self.bullet != "•":
            raise ValueError(
                gettext("Only a list of bullets has a bullet. Set list_style to bullets, or remove the bullet")
            )
        return self

    @property
    def largest_size(self) -> int:
        """The largest font size that the text can have, in pixels."""
        return max(self.size, self.max_size or 0)

    def bound_texts(self) -> tuple[BoundText, ...]:
        texts = [span.text for span in self.spans] or [self.text or ""]
        return tuple(parse_bindings(text) for text in texts)

    def expressions(self) -> tuple[str, ...]:
        return (*super().expressions(), *(source for span in self.spans for source in span.bound.values()))

    def decided(self) -> tuple[str, ...]:
        spans = ("spans",) if any(span.bound for span in self.spans) else ()
        return (*super().decided(), *spans, *(("language",) if self.language == OF_LOCALE else ()))

    def fonts(self) -> list[str]:
        """Return the fonts of the text, each once."""
        return list(dict.fromkeys([self.font, *(span.font for span in self.spans if span.font)]))
