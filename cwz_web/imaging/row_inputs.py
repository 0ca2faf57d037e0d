"""The inputs of a row: its values with their defaults, the photos that expressions examine, and what is unclear."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from cwz_web.i18n import cut_message, gettext_lazy
from cwz_web.imaging.bindings import LOCALE_KEY
from cwz_web.imaging.byte_cache import ByteCache
from cwz_web.imaging.decoding import Source, read_photo_facts
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.errors import InvalidImageError, SourceMissingError, UnknownFieldsError
from cwz_web.imaging.expression_functions import EvaluationContext
from cwz_web.imaging.expressions import parse_expression
from cwz_web.imaging.field_values import FieldText
from cwz_web.imaging.filters import decode_html
from cwz_web.imaging.findings import MAX_MESSAGE_LENGTH, Finding, FindingCode
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.layer_rendering import CheckTime, available
from cwz_web.imaging.layers import AnyLayer, walk_layers
from cwz_web.imaging.photo_facts import PhotoFacts
from cwz_web.imaging.placement import LoadedSources
from cwz_web.imaging.planned_layers import PlannedLayer, unclear_value
from cwz_web.imaging.prices import HiddenPrice, hide_old_prices
from cwz_web.imaging.row_values import RowReader
from cwz_web.values.formats import DEFAULT_LOCALE, Unclear, format_of, with_format

# Begins the name of a value that says why nothing is known of a field's photo. No field or expression has such a name.
PHOTO_KEY = "==photo "

# Loads an image or a font by its reference: a URL or `upload:<sha256>`. Raises SourceMissingError.
LoadSource = Callable[[str], Source]


class RowInputs:
    """Fills in and examines the rows of a plan.

    Args:
        template: the template in one size.
        layers: its scaled layers.
        planned: those that are rendered.
        pixels: the cache for what is known of photos.
    """

    def __init__(
        self,
        template: ImageTemplate,
        layers: Sequence[AnyLayer],
        planned: Sequence[PlannedLayer],
        pixels: ByteCache[Any],
    ) -> None:
        self._template, self._layers, self._pixels = template, planned, pixels
        self._defaults = {field.name: field.formatted_default for field in template.fields}
        self._reader = RowReader(template, [layer for layer in layers if not layer.hidden])
        self._examined = sorted(template.examined_photos())

    def load_photos(self, data: Mapping[str, str], load: LoadSource) -> dict[str, Source | SourceMissingError]:
        """Load the photos of a row that expressions use parts of, such as photo.width.

        Args:
            data: the row.
            load: loads a photo with its bytes.

        Returns:
            The photos by reference, or why one is missing.
        """
        references = [_photo_reference(data.get(name, self._defaults[name])) for name in self._examined]
        return {reference: load_or_error(reference, load) for reference in dict.fromkeys(references)}

    def fill(
        self,
        data: Mapping[str, str],
        output: Output,
        photos: LoadedSources,
        check_time: CheckTime,
    ) -> dict[str, str]:
        """Return a row's values, with defaults and computed fields, and without lower old prices.

        The template's defaults take the place of missing fields, and of values that do not fit the type of their field.

        Args:
            data: the row.
            output: decides about the locale and the currency.
            photos: what load_photos has loaded.
            check_time: raises RenderTimeoutError if it is too late for another photo.

        Raises:
            UnknownFieldsError: the row has fields that the template does not have.
            RenderTimeoutError: reading the photos takes too long.
        """
        unknown = sorted(set(data) - set(self._defaults))
        if unknown:
            raise UnknownFieldsError(unknown, list(self._defaults))
        own = (field for field in self._template.fields if field.name in data)
        row = {**self._defaults, **{field.name: field.with_own_format(data[field.name]) for field in own}}
        if output.output_currency:
            row = {name: _with_currency(text, output.output_currency) for name, text in row.items()}
        values = self._reader.fit(row)
        if output.output_locale:
            values[LOCALE_KEY] = output.output_locale
        context = EvaluationContext(
            output.output_locale or DEFAULT_LOCALE,
            output.output_currency or "",
            datetime.now(UTC).date(),
            self._template.tables,
        )
        facts, problems = self._examine_photos(values, photos, check_time)
        return self._reader.evaluate({**values, **hide_old_prices(values), **problems}, context, facts)

    def _examine_photos(
        self, values: Mapping[str, str], photos: LoadedSources, check_time: CheckTime
    ) -> tuple[dict[str, PhotoFacts], dict[str, str]]:
        """Return what is known of photos by field, and the values that say why nothing is known of others."""
        facts: dict[str, PhotoFacts] = {}
        problems: dict[str, str] = {}
        for name in self._examined:
            check_time()
            reference = _photo_reference(values[name])
            if reference not in photos:
                continue
            try:
                facts[name] = self._read_facts(available(photos[reference]))
            except (InvalidImageError, SourceMissingError) as error:
                if not (isinstance(error, SourceMissingError) and error.is_unnamed):
                    problems[f"{PHOTO_KEY}{name}"] = FieldText("", unclear=Unclear(error.clause), source=reference)
        return facts, problems

    def _read_facts(self, photo: Source) -> PhotoFacts:
        key = ("facts", photo.digest)
        facts: PhotoFacts = self._pixels.get_or_create(key, lambda: read_photo_facts(photo.data))
        return facts

    def find_unclear(self, values: Mapping[str, str]) -> Iterator[Finding]:
        """Yield what is wrong with the fields of a row, for each layer that would show them.

        These are old prices that cannot be compared, values that do not fit their type, and expressions that fail.
        """
        for name, value in values.items():
            if not isinstance(value, HiddenPrice | FieldText) or not value.unclear:
                continue
            if isinstance(value, HiddenPrice):
                consequence, text = gettext_lazy("leaves out the field “%(field)s”", field=name), value.text
            elif name.startswith(PHOTO_KEY):
                field, reason = name.removeprefix(PHOTO_KEY), value.unclear.reason
                message = gettext_lazy(
                    "uses the photo of the field “%(field)s” in an expression, but it cannot be read: %(reason)s",
                    field=field,
                    reason=reason,
                )
                yield Finding(
                    FindingCode.VALUE_UNCLEAR, cut_message(message, MAX_MESSAGE_LENGTH), self._photo_users[field]
                )
                continue
            elif name.startswith("="):
                continue  # a condition or a property, of which the layer has the finding
            elif name in self._defaults:
                consequence, text = gettext_lazy("uses the default of the field “%(field)s”", field=name), value.source
            else:
                consequence, text = (
                    gettext_lazy("has no value for the computed field “%(field)s”", field=name),
                    value.source,
                )
            for layer, inputs in self._leaf_inputs:
                if name in inputs:
                    yield unclear_value(layer, consequence, text, value.unclear)

    @cached_property
    def _leaf_inputs(self) -> list[tuple[Layer, frozenset[str]]]:
        """The layers that are no containers, with all fields that they depend on."""
        leaves = [leaf.layer for planned in self._layers for leaf in planned.leaves()]
        return [(layer, self._template.with_inputs(layer.fields())) for layer in leaves]

    @cached_property
    def _photo_users(self) -> dict[str, str]:
        """The first layer of those whose expressions use parts of a photo, by field."""
        users: dict[str, str] = {}
        visible = self._template.visible()
        for layer in walk_layers(visible.layers):
            inputs = self._template.with_inputs(layer.own_fields())
            computed = (field.value for field in visible.computed if field.name in inputs)
            for source in (*layer.expressions(), *computed):
                users = dict.fromkeys(parse_expression(source).photos, layer.name) | users
        return users


def _photo_reference(text: str) -> str:
    """Return the reference of the photo in a field, as the layer `{{ field }}` has it."""
    return decode_html(text).strip()


def load_or_error(reference: str, load: LoadSource) -> Source | SourceMissingError:
    """Return a source, or why it is missing."""
    try:
        return load(reference)
    except SourceMissingError as error:
        return error


def _with_currency(text: str, currency: str) -> str:
    format = format_of(text).model_copy(update={"currency": currency})
    return with_format(text, format)
