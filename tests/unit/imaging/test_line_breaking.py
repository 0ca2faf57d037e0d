import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging.casing import Case, change_case
from cwz_web.imaging.line_breaking import MARKS, can_hyphenate, character_ends, mark_breaks, mark_hyphens


def show(text: str) -> str:
    """Show breaks as |, hyphens as -, and places without a break as +."""
    return text.replace("\u200b", "|").replace("\u00ad", "-").replace("\u2060", "+")


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("ฉันรักประเทศไทยมาก", "ฉัน|รัก|ประเทศไทย|มาก"),
        ("ភាសាខ្មែរជាភាសា", "ភាសាខ្មែរ|ជា|ភាសា"),
        ("ພາສາລາວເປັນພາສາ", "ພາສາ|ລາວ|ເປັນ|ພາສາ"),
        ("မြန်မာဘာသာစကားသည်", "မြန်မာဘာသာ|စကား|သည်"),
        ("Tee 👍 ฉันรัก", "Tee 👍 ฉัน|รัก"),
        ("한국어 문장", "한+국+어 문+장"),
        ("日本語（テスト）です。", "日本語|（テスト）|です。"),
        ("Ordinary text", "Ordinary text"),
        ("Schöne Grüße", "Schöne Grüße"),
    ],
)
def test_breaks_are_marked(text: str, marked: str) -> None:
    assert show(mark_breaks(text)) == marked


@pytest.mark.parametrize(
    ("text", "language", "marked"),
    [
        ("Donaudampfschifffahrt", "de", "Do-nau-dampf-schiff-fahrt"),
        ("Hyphenation, and more", "en-US", "Hy-phen-ation, and more"),
        ("Boot SKU123456", "de", "Boot SKU123456"),
    ],
)
def test_words_are_hyphenated_by_language(text: str, language: str, marked: str) -> None:
    assert show(mark_hyphens(text, language)) == marked


def test_languages_with_hyphenation() -> None:
    assert [can_hyphenate(each) for each in ("de", "de-CH", "en-GB", "ja", "xx")] == [True, True, True, False, False]


@given(st.text(max_size=80))
def test_marks_change_nothing_else(text: str) -> None:
    plain = text.translate(dict.fromkeys(map(ord, MARKS)))
    marked = mark_hyphens(mark_breaks(plain), "de")
    assert marked.translate(dict.fromkeys(map(ord, MARKS))) == plain


@given(st.text(max_size=80))
def test_characters_cover_the_text(text: str) -> None:
    ends = character_ends(text)
    assert ends == sorted(set(ends))
    assert (ends[-1] if ends else 0) == len(text)


def test_characters_are_those_that_users_perceive() -> None:
    assert character_ends("e\u0301👩‍👩‍👧🇩🇪กำ") == [2, 7, 9, 11]


@pytest.mark.parametrize(
    ("text", "case", "language", "changed"),
    [
        ("istanbul ılık", "upper", "tr", "İSTANBUL ILIK"),
        ("ISPARTA İZMİR", "lower", "tr-TR", "ısparta izmir"),
        ("istanbul", "title", "az", "İstanbul"),
        ("istanbul", "upper", None, "ISTANBUL"),
        ("Άρθρο και μαΐου", "upper", "el", "ΑΡΘΡΟ ΚΑΙ ΜΑΪΟΥ"),
        ("ijsland en iglo", "title", "nl", "IJsland En Iglo"),
        ("straße", "upper", "de", "STRASSE"),
        ("o'neill’s iPhone", "title", None, "O'neill’s IPhone"),
    ],
)
def test_case_depends_on_the_language(text: str, case: Case, language: str | None, changed: str) -> None:
    assert change_case(text, case, language) == changed


@given(st.text(max_size=60), st.sampled_from(["upper", "lower", "title", "none"]))
def test_case_without_a_language_is_that_of_python(text: str, case: Case) -> None:
    expected = {"upper": text.upper(), "lower": text.lower(), "none": text}
    assert change_case(text, case) == expected.get(case, change_case(text, "title", "en"))
