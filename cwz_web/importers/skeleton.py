"""Templates from a list of layer names: what can be made of a JSON without positions and styles.

The layers are below each other in one stack, in the order of the JSON, so that the fields have the right names and
types; the design is made in the editor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.document_parts import MAX_SIDE
from cwz_web.importers.builder import DocumentBuilder, ImportedTemplate, Source
from cwz_web.importers.report import converted_message

Kind = Literal["text", "image", "shape", "code", "rating"]
# Fractions of the canvas's shorter side.
MARGIN, GAP, TEXT_SIZE, ROW = 0.05, 0.02, 0.05, 0.12
MIN_TEXT_SIZE = 6
GRAY = "#d5dae3"


@dataclass(frozen=True)
class SkeletonLayer:
    """A layer of which the JSON has a name and what it shows.

    Attributes:
        stars: how many stars a rating has.
    """

    name: str
    kind: Kind
    stars: int = 5


def build_skeleton(
    builder: DocumentBuilder, source: Source, name: str, canvas: Mapping[str, int], layers: Sequence[SkeletonLayer]
) -> ImportedTemplate:
    """Return a template with a layer and a field for each name.

    Args:
        builder: the document.
        source: the service, for the report.
        name: the name of the template.
        canvas: its width and height.
        layers: the layers, in the order of the JSON.

    Raises:
        InvalidImportError: there are too many layers.
    """
    builder.report.changed(
        gettext_lazy(
            "%(source)s returns the names of layers without positions, sizes, styles and layers that never change:"
            " the layers are below each other, and wait for your design",
            source=source.label,
        )
    )
    width, height = canvas["width"], canvas["height"]
    side = min(width, height)
    inner = max(round(width - 2 * MARGIN * side), 1)
    size = max(round(TEXT_SIZE * side), MIN_TEXT_SIZE)
    box = {"width": inner, "height": max(round(ROW * side), 1), "sizing": {"width": "fill"}}
    children = [_layer(builder, layer, box, size) for layer in layers]
    stack = {
        "type": "stack",
        "name": builder.name_extra("Layers"),
        "x": round(MARGIN * side),
        "y": round(MARGIN * side),
        "width": inner,
        "height": min(max(round(height - 2 * MARGIN * side), 1), MAX_SIDE),
        "gap": round(GAP * side),
        "layers": children,
    }
    builder.layers += [stack] if children else []
    return builder.finish(source, name, canvas)


def _layer(builder: DocumentBuilder, layer: SkeletonLayer, box: Mapping[str, Any], size: int) -> dict[str, Any]:
    name = builder.name_layer(layer.name, "Layer")
    content = {"type": layer.kind, "name": name, **box, **_content(builder, layer, name, size)}
    builder.open(content)
    builder.report.converted(converted_message(layer.kind, has_field=layer.kind != "shape"), name)
    return content


def _content(builder: DocumentBuilder, layer: SkeletonLayer, name: str, size: int) -> dict[str, Any]:
    match layer.kind:
        case "text":
            return {"text": builder.bind(name, layer.name or name), "size": size, "min_size": MIN_TEXT_SIZE}
        case "image":
            return {"source": builder.bind(name, "", "image"), "sizing": {"width": "fill", "shrink": 2}}
        case "code":
            return {"content": builder.bind(name, "")}
        case "rating":
            field = builder.add_field(name, "number", str(layer.stars))
            return {"value": f"{{{{ {field} }}}}" if field else str(layer.stars), "stars": layer.stars}
    return {"fill": GRAY}
