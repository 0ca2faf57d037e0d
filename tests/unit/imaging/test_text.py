import resource
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cwz_web.imaging import text_fitting
from cwz_web.imaging.compositing import Patch
from cwz_web.imaging.errors import ImageTooLargeError, RenderTimeoutError
from cwz_web.imaging.fonts import FAMILIES
from cwz_web.imaging.text import RenderedText, place_text, render_text
from cwz_web.imaging.text_layers import TextLayer
from cwz_web.imaging.text_runs import Typeface


def layer(**values: Any) -> TextLayer:
    defaults = {"type": "text", "name": "t", "text": "x", "x": 0, "y": 0, "width": 400, "height": 100, "size": 40}
    return TextLayer.model_validate(defaults | values)


def render_plain(layer: TextLayer, text: str) -> RenderedText:
    return render_text(layer, [text], {layer.font: Typeface(layer.font)})


def render_letters(layer: TextLayer, text: str) -> Patch | None:
    """Render the letters of a layer without a box or a stroke."""
    patches = render_plain(layer, text).patches
    return patches[-1] if patches else None


def bottom_of(patch: Any) -> int:
    return int(patch.y + patch.alpha.shape[0])


def test_words_with_and_without_descenders_share_a_baseline() -> None:
    plain, tall, low = (render_letters(layer(), text) for text in ("xxx", "HHH", "xgx"))
    assert None not in (plain, tall, low)
    assert bottom_of(plain) == pytest.approx(bottom_of(tall), abs=1)
    assert plain.y > tall.y
    assert plain.y == pytest.approx(low.y, abs=1)
    assert bottom_of(low) > bottom_of(plain)


def test_markup_is_rendered_as_text() -> None:
    tag, entity = render_letters(layer(), "<b>bold</b>"), render_letters(layer(), "&amp;")
    bold, sign = render_letters(layer(), "bold"), render_letters(layer(), "&")
    assert None not in (tag, entity, bold, sign)
    assert tag.alpha.shape[1] > bold.alpha.shape[1] * 1.5
    assert entity.alpha.shape[1] > sign.alpha.shape[1] * 2


def test_long_text_is_reduced_and_then_cut() -> None:
    text = "A rather long title for such a small box"
    whole = render_letters(layer(width=2000), text)
    shrunk = render_letters(layer(width=600, min_size=20), text)
    cut = render_letters(layer(width=200, min_size=20), text)
    assert None not in (whole, shrunk, cut)
    assert shrunk.alpha.shape[1] <= 600
    assert shrunk.alpha.shape[0] < whole.alpha.shape[0]
    assert cut.alpha.shape[1] <= 200
    assert cut.alpha.shape[0] < 30, "one line"


@pytest.mark.parametrize("text", ["One\ntwo\nthree", "One\ntwo\nthree\nfour\nfive\nsix", "One\r\ntwo\u2028three"])
def test_more_line_breaks_than_lines_are_cut_at_the_largest_size(text: str) -> None:
    rendered, expected = (render(each, height=110, max_lines=2, min_size=10) for each in (text, "One\ntwo…"))
    assert (rendered.is_cut, rendered.font_size, expected.font_size) == (True, 40, 40)
    assert np.array_equal(rendered.patches[-1].mask(), expected.patches[-1].mask())


def test_lines_that_are_left_are_reduced_to_fit() -> None:
    rendered = render("A rather long line\ntwo\nthree", width=200, height=110, max_lines=2, min_size=10)
    assert rendered.is_cut
    assert 15 < rendered.font_size < 30
    low = render("One\ntwo", height=18, line_height=1, max_lines=5, min_size=10)
    assert low.is_cut
    assert low.font_size >= 18, "two lines do not fit its height at any size"
    tiny = render("A rather long line\ntwo\nthree", width=60, height=110, max_lines=2, min_size=20)
    assert (tiny.is_cut, tiny.font_size) == (True, 20)


def test_number_of_lines_is_limited() -> None:
    patch = render_letters(layer(width=250, height=110, max_lines=2, line_height=1.2), "word " * 60)
    assert patch is not None
    assert bottom_of(patch) <= 110


def test_word_wider_than_the_box_is_broken() -> None:
    patch = render_letters(layer(width=120, height=500, max_lines=9), "Donaudampfschifffahrtsgesellschaft")
    assert patch is not None
    assert patch.alpha.shape[1] <= 122


@pytest.mark.parametrize(("align", "low", "high"), [("start", 0, 20), ("center", 150, 200), ("end", 330, 390)])
def test_alignment(align: str, low: int, high: int) -> None:
    patch = render_letters(layer(align=align), "ii")
    assert patch is not None
    assert low <= patch.x <= high


@pytest.mark.parametrize(("valign", "low", "high"), [("top", 0, 20), ("middle", 120, 150), ("bottom", 250, 280)])
def test_vertical_alignment(valign: str, low: int, high: int) -> None:
    patch = render_letters(layer(valign=valign, height=300), "H")
    assert patch is not None
    assert low <= patch.y <= high


@pytest.mark.parametrize("text", ["", "   ", "\n\n", "\u200d", "\x00\x07", "\ud800"])
def test_invisible_text_renders_nothing(text: str) -> None:
    assert render_letters(layer(), text) is None


@pytest.mark.parametrize("text", ["Schöne Grüße", "Привет", "مرحبا 123", "日本語", "שלום", "สวัสดี", "नमस्ते", "👩‍👩‍👧 hi"])
def test_scripts_have_glyphs(text: str) -> None:
    """A missing glyph is always the same box; real glyphs differ."""
    rendered, boxes = render_letters(layer(), text), render_letters(layer(), "\U000e0fff" * 3)
    assert rendered is not None
    assert boxes is None or not np.array_equal(rendered.alpha, boxes.alpha)


@given(st.text(max_size=120))
@settings(max_examples=60)
def test_any_text_fits_its_width(text: str) -> None:
    patch = render_letters(layer(width=180, height=60, min_size=14, size=24, max_lines=2), text)
    assert patch is None or (patch.alpha.ndim == 2 and patch.alpha.shape[1] <= 240)


def render(text: str, **values: Any) -> RenderedText:
    return render_plain(layer(**values), text)


def test_long_word_is_reduced_before_it_is_broken() -> None:
    word = "Donaudampfschifffahrtsgesellschaftskapitän"
    shrunk = render(word, width=400, height=200, max_lines=3, min_size=12)
    assert not shrunk.is_cut
    assert shrunk.patches[-1].shape[0] < shrunk.font_size * 1.5, "the word is on one line"
    assert render(word, width=400, height=200, max_lines=3).font_size == 40, "without a minimum size it is broken"


def test_text_that_cannot_fit_is_not_rendered_in_full() -> None:
    """2,000 letters of 1,000 pixels would take gigabytes of memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rendered = render("W" * 2000, width=4000, height=4000, size=1000, min_size=900, max_lines=50)
    assert rendered.is_cut
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000


@pytest.mark.parametrize(
    ("case", "expected"), [("upper", "STRASSE ÉCOLE"), ("lower", "strasse école"), ("title", "Strasse École")]
)
def test_case(case: str, expected: str) -> None:
    one, other = render("Strasse École", case=case, width=900), render(expected, width=900)
    assert np.array_equal(one.patches[-1].mask(), other.patches[-1].mask())


def test_hugging_box_has_the_width_of_the_text() -> None:
    values: dict[str, Any] = {"background": "#ff0000", "padding": 10, "hug": True, "width": 390}
    short, long = (render(text, **values).patches for text in ("ab", "abcdefgh"))
    assert short[0].shape[1] == short[1].shape[1] + 20
    assert short[0].shape[1] < long[0].shape[1] < 390
    assert short[0].shape[0] == long[0].shape[0] == 48 + 20, "a line and the padding"
    assert render("", **values).patches == ()
    assert render("", **(values | {"hug": False})).patches[0].shape == (100, 390)


@pytest.mark.parametrize("align", ["start", "center", "end"])
def test_hugging_box_is_aligned_with_the_text(align: str) -> None:
    box, letters = render("ab", align=align, background="#ff0000", padding=10, hug=True).patches
    assert letters.x - box.x == 10
    assert 0 <= box.x <= 400 - box.shape[1]


def test_stroke_is_below_and_around_the_letters() -> None:
    stroke, letters = render("H", stroke={"color": "#ff0000", "width": 4}).patches
    assert stroke.color == (255, 0, 0)
    assert (stroke.x, stroke.y) == (letters.x - 4, letters.y - 4)
    assert stroke.shape == (letters.shape[0] + 8, letters.shape[1] + 8)


def test_justified_lines_fill_the_width() -> None:
    text = "One two three four five six Donaudampfschifffahrt seven"
    ragged, even = (render(text, align=align, size=20, max_lines=5).patches[-1] for align in ("start", "justify"))
    assert ragged.shape[1] < even.shape[1]
    assert even.shape[1] == pytest.approx(400, abs=3)


@pytest.mark.parametrize("emoji", ["👍🏽", "👩‍👩‍👧‍👦", "🇩🇪", "❤️", "🏳️‍🌈"])
def test_joined_emoji_is_one_glyph_in_color(emoji: str) -> None:
    [rendered] = render(emoji).patches
    assert isinstance(rendered.color, np.ndarray)
    assert rendered.shape[1] < 60, "one glyph, not its parts side by side"
    covered = rendered.color[rendered.mask() > 200][:, :3].astype(int)
    assert len(np.unique(covered, axis=0)) > 20


def test_skin_tones_differ() -> None:
    light, dark = (render(text).patches[0].color for text in ("👍🏻", "👍🏿"))
    assert isinstance(light, np.ndarray)
    assert not np.array_equal(light, dark)


def test_text_beside_emoji_keeps_its_color() -> None:
    [rendered] = render("Hi 👍", color="#ff0000").patches
    assert isinstance(rendered.color, np.ndarray)
    left = rendered.color[:, :20][rendered.mask()[:, :20] > 250]
    assert (left[:, :3] == [255, 0, 0]).all()


def test_right_to_left_text_starts_on_the_right() -> None:
    [arabic] = render("مرحبا 123").patches
    [latin] = render("hello 123").patches
    assert latin.x < 20
    assert arabic.x + arabic.shape[1] > 380


def test_unsupported_character_is_reported_and_replaced() -> None:
    rendered = render("a𓀀b")
    assert rendered.missing == ("𓀀",)
    assert np.array_equal(rendered.patches[-1].mask(), render("a\ufffdb").patches[-1].mask())
    assert render("Ελληνικά 日本 한국 👍🏽 é\u0301\u200d").missing == ()


def test_han_characters_depend_on_the_language() -> None:
    """The same character looks different in a Japanese and in a Chinese text."""

    def first(text: str) -> Any:
        return render(text, size=80, width=900).patches[-1].mask()[:, :60]

    assert not np.array_equal(first("直す"), first("直到"))


def test_every_family_looks_different() -> None:
    masks = [render("Hamburg", font=font, width=900).patches[-1].mask() for font in FAMILIES]
    assert len({mask.tobytes() for mask in masks}) == len(FAMILIES)


def test_joined_emoji_is_not_cut() -> None:
    rendered = render("👩‍👩‍👧‍👦" * 12, width=300)
    [patch] = rendered.patches
    assert rendered.is_cut
    assert isinstance(patch.color, np.ndarray)


def first_baseline(text: str, **values: Any) -> int:
    """Return the lower edge of the first letter, which has no descender."""
    patch = render(text, width=900, height=300, max_lines=3, **values).patches[-1]
    rows = np.nonzero(patch.mask()[:, :20].max(axis=1) > 120)[0]
    return patch.y + int(rows.max())


FALLBACK_TEXTS = ["é", "مرحبا", "日本語", "한국어", "👍", "สวัสดี", "नमस्ते", "ქართული", "❤", "❤\ufe0f", "©\ufe0f", "ខ្មែរ"]


@pytest.mark.parametrize("line_height", [0.8, 1.0, 1.2, 2.0])
@pytest.mark.parametrize("font", ["Inter", "Oswald", "Caveat"])
def test_fallback_font_moves_no_baseline(font: str, line_height: float) -> None:
    expected = first_baseline("H", font=font, line_height=line_height)
    for other in FALLBACK_TEXTS:
        assert first_baseline(f"H {other}", font=font, line_height=line_height) == expected, other


def test_fallback_font_moves_no_line_below() -> None:
    expected = first_baseline("H\nH")
    for other in FALLBACK_TEXTS:
        assert first_baseline(f"H {other}\nH") == expected, other
        assert first_baseline(f"{other}\nH") == pytest.approx(expected, abs=1) or other == "é", other


@pytest.mark.parametrize("line_height", [0.7, 0.8, 0.9, 1.0, 1.2])
@pytest.mark.parametrize("text", ["مرحبا بكم", "नमस्ते हृद्य", "ที่นี่ กู้", "gjpqy", "Ęg\u0328", "မြန်မာ", "日本"])
def test_lines_are_counted_by_metrics(text: str, line_height: float) -> None:
    """Marks below the baseline are no further line: the text keeps its size in a box for as many lines as it has."""
    line = round(40 * line_height)
    one = render(text, width=900, height=line, line_height=line_height, max_lines=3)
    two = render(f"{text}\n{text}", width=900, height=2 * line, line_height=line_height, max_lines=2, min_size=10)
    assert (one.is_cut, two.is_cut, two.font_size) == (False, False, 40)


def test_line_that_does_not_fit_its_height_is_shrunk_or_reported() -> None:
    shrunk, small = (render("Hg", size=100, height=40, min_size=size) for size in (10, 90))
    assert shrunk.patches[-1].shape[0] <= 41
    assert 35 <= shrunk.font_size <= 45
    assert (shrunk.is_too_high, small.is_too_high, small.font_size) == (False, True, 90)
    assert render("Hg", size=40, height=44).is_too_high is False, "its letters fit, if not its line height"


def test_word_is_broken_without_a_hyphen_unless_the_layer_hyphenates() -> None:
    word, values = "Donaudampfschifffahrtsgesellschaft", {"width": 260, "height": 400, "max_lines": 5}
    plain = render(word, **values).patches[-1].mask()
    hyphenated = render(word, **values, hyphens="auto", language="de").patches[-1].mask()
    assert plain.shape[0] < 150
    assert not np.array_equal(plain, hyphenated)
    by_hand = render("Donaudampf\u00adschifffahrts\u00adgesellschaft", **values).patches[-1].mask()
    assert np.array_equal(hyphenated[:40], by_hand[:40])


def test_korean_words_are_not_broken() -> None:
    joined = render("한국어 띄어쓰기는", width=230, height=300, max_lines=4)
    lines = render("한국어\n띄어쓰기는", width=230, height=300, max_lines=4)
    assert np.array_equal(joined.patches[-1].mask(), lines.patches[-1].mask())


def test_thai_is_broken_between_words() -> None:
    joined = render("ฉันรักประเทศไทย", width=230, height=300, max_lines=4)
    lines = render("ฉันรัก\nประเทศไทย", width=230, height=300, max_lines=4)
    assert np.array_equal(joined.patches[-1].mask(), lines.patches[-1].mask())


@pytest.mark.parametrize("end", ["\r", "\r\n", "\v", "\f", "\x85", "\u2028", "\u2029"])
def test_every_line_break_breaks_the_line(end: str) -> None:
    one, other = (render(f"One{each}two", height=200, max_lines=2) for each in (end, "\n"))
    assert np.array_equal(one.patches[-1].mask(), other.patches[-1].mask())


def test_direction_of_a_text_can_be_set() -> None:
    auto, ltr, rtl = (render("Hello!", direction=direction).patches[-1] for direction in ("auto", "ltr", "rtl"))
    assert np.array_equal(auto.mask(), ltr.mask())
    assert auto.x < 20
    assert rtl.x > 200, "the start of a line is its right end"
    hebrew = render("שלום!", direction="ltr").patches[-1]
    assert hebrew.x < 20


def test_letter_spacing_does_not_tear_arabic() -> None:
    plain, spaced = (render("مرحبا", letter_spacing=spacing).patches[-1].mask() for spacing in (0, 20))
    assert np.array_equal(plain, spaced)
    latin, wide = (render("Hello", letter_spacing=spacing).patches[-1].shape[1] for spacing in (0, 20))
    assert wide > latin + 60


@pytest.mark.parametrize(
    "word",
    [
        "ផ្លូវ",
        "កម្ពុជា",
        "คำ",
        "กำลัง",
        "น้ำ",
        "ກຳລັງ",
        "နွမ်း",
        "মূর্ত",
        "ક્ષેત્ર",
        "ଓଡ଼ିଆ",
        "ಕನ್ನಡ",
        "తెలుగు",
        "தமிழ்",
        "മലയാളം",
        "සිංහල",
        "हिन्दी",
        "שָׁלוֹם",
        "בְּרֵאשִׁית",
    ],
)
@pytest.mark.parametrize("spacing", [8, -4])
def test_letter_spacing_does_not_tear_scripts_with_attached_letters(word: str, spacing: int) -> None:
    plain, spaced = (render(word, letter_spacing=each).patches[-1].mask() for each in (0, spacing))
    assert np.array_equal(plain, spaced)


def test_letter_spacing_applies_to_latin_beside_khmer() -> None:
    plain, spaced = (render("ABC កម្ពុជា", letter_spacing=spacing).patches[-1].mask() for spacing in (0, 8))
    khmer = render("កម្ពុជា").patches[-1].shape[1]
    assert spaced.shape[1] >= plain.shape[1] + 3 * 8
    assert np.array_equal(plain[:, -khmer:], spaced[:, -khmer:])


@pytest.mark.parametrize("text", ["שלום", "ẹ́x̂i", "한국어", "ሰላም", "日本"])
def test_letter_spacing_moves_characters_as_a_whole(text: str) -> None:
    near, far = (render(text, letter_spacing=spacing).patches[-1].mask() for spacing in (12, 24))
    assert far.shape[1] > near.shape[1]
    parts = [split_at_gaps(mask) for mask in (near, far)]
    assert len(parts[0]) == len(parts[1]) > 1
    assert all(np.array_equal(*pair) for pair in zip(*parts, strict=True))


def test_marks_of_line_breaks_are_not_spaced() -> None:
    """Korean words are kept together, and German ones hyphenated, by marks between the letters."""
    widths = [render("한국어", letter_spacing=spacing).patches[-1].shape[1] for spacing in (0, 16)]
    assert widths[1] == widths[0] + 2 * 16
    word, values = "Silbentrennung", {"letter_spacing": 4, "language": "de"}
    [plain], [hyphenated] = (render(word, hyphens=hyphens, **values).patches for hyphens in ("none", "auto"))
    assert hyphenated.shape[1] == pytest.approx(plain.shape[1], abs=2)
    broken = [render(word, width=220, height=300, max_lines=3, hyphens=each, **values) for each in ("none", "auto")]
    assert not np.array_equal(*(each.patches[-1].mask() for each in broken)), "a line ends with a hyphen"


def split_at_gaps(mask: np.ndarray) -> list[np.ndarray]:
    """Return the parts of a mask between columns without ink."""
    has_ink = np.pad(mask.any(axis=0), 1).astype(np.int8)
    starts, ends = (np.flatnonzero(np.diff(has_ink) == step) for step in (1, -1))
    return [mask[:, start:end] for start, end in zip(starts, ends, strict=True)]


def test_text_beyond_the_limit_is_cut_with_an_ellipsis() -> None:
    values: dict[str, Any] = {"width": 4000, "height": 600, "size": 12, "max_lines": 50}
    long = render("word " * 600, **values)
    assert long.is_too_long
    cut = render(("word " * 600)[: text_fitting.MAX_CHARACTERS - 1].rstrip() + "…", **values)
    assert not cut.is_too_long
    assert np.array_equal(long.patches[-1].mask(), cut.patches[-1].mask())
    assert not render("x" * text_fitting.MAX_CHARACTERS, **values).is_too_long


def test_cut_text_ends_with_a_whole_character() -> None:
    rendered = render("👩‍👩‍👧‍👦กำ" * 20, width=200, min_size=40)
    assert rendered.is_cut
    assert rendered.missing == ()


@given(st.text(max_size=60), st.sampled_from(["auto", "ltr", "rtl"]), st.sampled_from([0, 3]))
@settings(max_examples=40)
def test_any_text_is_rendered_with_any_option(text: str, direction: str, spacing: int) -> None:
    options = {"direction": direction, "letter_spacing": spacing, "hyphens": "auto", "language": "de"}
    render(text, width=180, height=60, min_size=14, size=24, max_lines=2, **options)


def test_letters_that_fit_have_no_finding_although_their_line_does_not() -> None:
    """A quotation mark of a large size stands in a low box."""
    assert not render("“", size=200, height=100).is_too_high
    assert render("H", size=200, height=100).is_too_high


def test_language_selects_the_forms_of_han_characters() -> None:
    """The character U+76F4 has one form in Chinese and another in Japanese."""
    chinese, japanese, auto = (render("直", language=language).patches[-1].mask() for language in ("zh", "ja", None))
    assert np.array_equal(chinese, auto)
    assert not np.array_equal(chinese, japanese)
    assert np.array_equal(japanese, render("直の", language=None).patches[-1].mask()[:, : japanese.shape[1]])


HEADLINE = "A long headline about the summer sale that wraps in here"


def test_growing_text_is_as_large_as_fits() -> None:
    """The next larger size would not fit."""
    for text in ("Short", HEADLINE):
        grown = render(text, fit="grow", max_size=200, height=160, max_lines=3, width=600)
        assert not grown.is_cut
        assert grown.font_size > 40 or text == HEADLINE
        lines = max(1, round(bottom_of(grown.patches[-1]) / (grown.font_size * 1.2)))
        assert lines * grown.font_size * 1.2 <= 161
        larger = render(text, size=grown.font_size + 1, height=160, max_lines=3, width=600)
        assert larger.is_cut or (grown.font_size + 1) * 1.2 > 160 or larger.patches[-1].shape[1] > 580
    assert render("Hi", fit="grow", max_size=60).font_size == 60
    assert render(HEADLINE, fit="grow", max_size=60, min_size=12, max_lines=1).font_size < 40


def test_text_that_keeps_its_size_is_cut_with_or_without_an_ellipsis() -> None:
    values: dict[str, Any] = {"height": 110, "max_lines": 9, "min_size": 10}
    shrunk, cut = (render(HEADLINE * 2, fit=fit, **values) for fit in ("shrink", "ellipsis"))
    assert (shrunk.font_size < 40, cut.font_size, cut.is_cut) == (True, 40, True)
    assert has_equal_masks(cut, render(HEADLINE * 2, **{**values, "min_size": None}))
    clipped = render(HEADLINE * 2, fit="clip", **values)
    assert (clipped.font_size, clipped.is_cut) == (40, True)
    rows = np.flatnonzero(clipped.patches[-1].mask().any(axis=1)) + clipped.patches[-1].y
    assert 96 < rows.max() < 110, "the upper part of the third line"
    assert not render("Short", fit="clip", **values).is_cut


@pytest.mark.parametrize("fit", ["clip", "ellipsis"])
def test_end_of_a_large_text_is_guessed(fit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text is cut where an exact search cuts it, and is rendered less often."""
    sizes: list[float] = []
    glyphs = text_fitting.render_text_glyphs
    monkeypatch.setattr(text_fitting, "render_text_glyphs", lambda *args: sizes.append(args[2]) or glyphs(*args))
    values: dict[str, Any] = {"fit": fit, "size": 70, "width": 1400, "height": 800, "max_lines": 50}
    guessed, renderings = render(HEADLINE * 20, **values), sizes.count(70)
    monkeypatch.setattr(text_fitting, "LARGE_BOX", 10**9)
    sizes.clear()
    assert has_equal_masks(guessed, render(HEADLINE * 20, **values))
    assert renderings <= 4 < sizes.count(70)


def has_equal_masks(one: RenderedText, other: RenderedText) -> bool:
    return np.array_equal(one.patches[-1].mask(), other.patches[-1].mask())


@pytest.mark.parametrize("align", ["start", "center", "end"])
@pytest.mark.parametrize("text", ["Sale on all the shoes in our shop now", "مرحبا بكم في متجرنا الكبير لكل العروض"])
def test_balanced_lines_are_about_as_long_as_each_other(text: str, align: str) -> None:
    values: dict[str, Any] = {"height": 200, "max_lines": 4, "align": align, "width": 500}
    plain, balanced = (render(text, balance=balance, **values).patches[-1] for balance in (False, True))
    assert bottom_of(balanced) == pytest.approx(bottom_of(plain), abs=12), "as many lines"
    assert balanced.shape[1] <= plain.shape[1]
    lines = [np.flatnonzero(part.any(axis=0)) for part in (balanced.mask()[:36], balanced.mask()[-30:])]
    assert min(len(line) for line in lines) > 0
    spans = [line.max() - line.min() for line in lines]
    assert min(spans) > 0.55 * max(spans)
    is_right = align == "end" if text.isascii() else align == "start"
    if align == "center":
        assert balanced.x + balanced.shape[1] / 2 == pytest.approx(250, abs=8)
    elif is_right:
        assert balanced.x + balanced.shape[1] > 480
    else:
        assert balanced.x < 20


def test_balanced_text_in_one_line_or_cut_is_unchanged() -> None:
    for values in ({"text": "One"}, {"text": HEADLINE * 3}):
        assert has_equal_masks(render(**values), render(**values, balance=True))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fit": "grow"}, "needs a maximum size"),
        ({"max_size": 50}, "needs a maximum size"),
        ({"fit": "grow", "max_size": 20}, "Enter at least 40"),
    ],
)
def test_sizes_of_a_fit_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        layer(**values)


TEXT_OF_EACH_SIDE = [("Hamburg", "start"), ("Hamburg", "center"), ("Hamburg", "end"), ("مرحبا", "start")]


@pytest.mark.parametrize(("text", "align"), TEXT_OF_EACH_SIDE)
def test_fitted_text_is_placed_in_its_natural_width(text: str, align: str) -> None:
    """A layout measures a text in the width that there is, and places it in the width that it takes."""
    values = layer(align=align, padding=10)
    fitted = text_fitting.fit_text(values, [text], {"Inter": Typeface("Inter")}, 400, 100)
    wide = place_text(values, fitted, 0, 0, 400, 100).patches[-1]
    width = fitted.natural_width + 20
    narrow = place_text(values, fitted, 0, 0, width, 100).patches[-1]
    assert np.array_equal(wide.mask(), narrow.mask())
    assert wide.y == narrow.y
    assert narrow.x >= 10
    assert narrow.x + narrow.shape[1] <= width - 10
    assert render_plain(values, text).patches[-1].x == wide.x


@pytest.mark.parametrize("line_height", [0.8, 1.2, 2.0])
def test_fitted_text_has_a_height_and_a_baseline(line_height: float) -> None:
    values = layer(max_lines=3, height=300, line_height=line_height)
    fitted = text_fitting.fit_text(values, ["One\ntwo"], {"Inter": Typeface("Inter")}, 400, 300)
    assert (fitted.lines, fitted.height) == (2, pytest.approx(2 * 40 * line_height))
    assert fitted.baseline == bottom_of(render("H", line_height=line_height, height=300).patches[-1])
    empty = text_fitting.fit_text(values, [""], {"Inter": Typeface("Inter")}, 400, 300)
    assert (empty.lines, empty.height, empty.natural_width) == (0, 0, 0)


def test_text_in_a_box_of_more_than_any_image_is_refused() -> None:
    huge = layer(width=4096, height=4096).scaled(3)
    with pytest.raises(ImageTooLargeError, match="The box of the text “t” has more than 100 million pixels"):
        render_plain(huge, "Hi")


def test_fitting_ends_at_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_fitting, "FIT_SECONDS", -1.0)
    with pytest.raises(RenderTimeoutError, match="A text takes too long to fit into its box"):
        render_plain(layer(size=200, min_size=10, width=100, height=50), "some words that do not fit")
