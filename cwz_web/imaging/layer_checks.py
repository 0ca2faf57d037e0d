"""Checks of the layers of a row: whether they can be rendered, and whether texts are readable on what is below them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.code_checks import RenderedCode
from cwz_web.imaging.compositing import Patch, Pixels, blend_patch
from cwz_web.imaging.effects import Window
from cwz_web.imaging.errors import InvalidBarcodeError, InvalidFontError, InvalidImageError
from cwz_web.imaging.findings import Finding, FindingCode
from cwz_web.imaging.layer_rendering import CheckTime, LayerRenderer, fit_layer_text
from cwz_web.imaging.layers import Container
from cwz_web.imaging.lint import contrast_findings
from cwz_web.imaging.placement import LoadedSources, PlacedLayer
from cwz_web.imaging.text import place_text
from cwz_web.imaging.text_layers import TextLayer


@dataclass
class LayerChecker:
    """Checks layers from the lowest to the highest.

    Attributes:
        renderer: renders the layers.
        sources: the images and fonts of the row.
        window: what can be seen.
        canvas: the pixels below the next layer; each layer that is checked is blended onto them.
        check_time: raises RenderTimeoutError if it is too late for another layer.
        codes: the codes of the layers.
    """

    renderer: LayerRenderer
    sources: LoadedSources
    window: Window
    canvas: Pixels
    check_time: CheckTime
    codes: list[RenderedCode] = field(default_factory=list)

    def check(self, placed: PlacedLayer, clips: tuple[Container, ...] = ()) -> Iterator[Finding]:
        """Yield the findings of a layer and of the layers in it, which are checked as if it did not rotate or fade.

        Args:
            placed: the layer.
            clips: the containers around it that cut it off at their edges.
        """
        self.check_time()
        layer = placed.layer
        try:
            rendering = self.renderer.render_own(placed, self.sources, self.window, self.check_time)
        except InvalidBarcodeError as error:
            yield Finding(
                FindingCode.BAD_CODE, gettext_lazy("cannot be rendered: %(reason)s", reason=error.reason), layer.name
            )
            return
        except (InvalidImageError, InvalidFontError) as error:
            yield Finding(
                FindingCode.PHOTO_MISSING,
                gettext_lazy("cannot be rendered: %(reason)s", reason=error.clause),
                layer.name,
            )
            return
        yield from rendering.findings
        self.codes += rendering.codes
        if isinstance(layer, TextLayer) and rendering.patches and not layer.stroke:
            yield from self._check_contrast(placed, layer, clips)
        for patch in self._clip(rendering.patches, clips):
            blend_patch(self.canvas, patch)
        inner = (*clips, layer) if isinstance(layer, Container) and layer.clip else clips
        for child in placed.children:
            yield from self.check(child, inner)

    def _clip(self, patches: Iterable[Patch], clips: tuple[Container, ...]) -> list[Patch]:
        """Return patches as far as containers show them."""
        shown = list(patches)
        for container in clips:
            shown = [part for patch in shown if (part := self.renderer.clip_content(container, patch))]
        return shown

    def _check_contrast(self, placed: PlacedLayer, layer: TextLayer, clips: tuple[Container, ...]) -> Iterator[Finding]:
        """Yield a finding if a text is hard to read on the pixels below it."""
        texts = placed.planned.texts(placed.values)
        fitted = placed.text or fit_layer_text(layer, texts, layer.width, layer.height, self.sources)
        text = place_text(layer, fitted, layer.left, layer.top, layer.width, layer.height)
        *box, letters = text.patches
        below = self.canvas.copy() if box else self.canvas
        for patch in self._clip(box, clips):
            blend_patch(below, patch)
        for shown in self._clip([letters], clips):
            yield from contrast_findings(layer, text, shown, below)
