import io
import unicodedata
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds.encodings import ENCODING_LABELS, detect_encoding
from cwz_web.feeds.file_types import read_sample, read_table, truncate_to_line
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.reading import ReadOptions
from cwz_web.feeds.temporary_files import temporary_file

# Sentences as product feeds have them, three for each language.
SENTENCES = {
    "de": "Übergröße für schöne Füße|Gewürzmühle aus Weißblech, 9,90 €|Hängelampe mit grünem Schirm",
    "fr": "Théière en céramique émaillée|Manteau d’hiver à carreaux, très chaud|Gâteau aux pêches façon grand-mère",
    "es": "Cafetera española pequeña|Lámpara de diseño para niños|Sofá cómodo de algodón ecológico",
    "pt": "Máquina de café com função automática|Coleção de verão em algodão|Calções de praia, não amarrota",
    "sv": "Handgjord skål i grått stengods|Grön tröja för små barn|Möbler till köket, på lager",
    "da": "Blå køkkenstol i træ|Små røde bøger til børn|Håndlavet læderbælte, større størrelse",
    "fi": "Käsintehty pöytä männystä|Lämmin neulepaita tytölle|Säilytyslaatikko, pehmeä päällinen",
    "pl": "Ręcznie robiony kubek z błękitną gałązką|Łóżko dziecięce, świerk|Żółta bluza męska, duży wybór",
    "cs": "Ručně vyráběný hrnek s květinami|Dětská postel ze smrkového dřeva|Žlutá bunda, všechny velikosti",
    "hu": "Kézzel készült bögre virágokkal|Gyerekágy fenyőfából, erős szerkezet|Sárga női kabát, több színben",
    "ro": "Cană lucrată manual cu flori albăstrui|Pătuț pentru copii din lemn de brad|Geacă bărbătească neagră",
    "tr": "El yapımı çiçekli kahve fincanı|Çocuk yatağı, doğal ağaç|Kırmızı kışlık şapka ve eldiven",
    "lt": "Rankų darbo puodelis su gėlėmis|Vaikiška lovelė iš eglės|Geltona striukė, įvairių dydžių",
    "vi": "Cốc gốm thủ công màu xanh|Giường trẻ em bằng gỗ thông|Áo khoác màu vàng, nhiều kích cỡ",
    "ru": "Кружка ручной работы с цветами|Детская кровать из массива ели|Жёлтая мужская куртка, большой выбор",
    "uk": "Чашка ручної роботи з квітами|Дитяче ліжко з ялини, її розмір|Жовта чоловіча куртка, великий вибір",
    "el": "Χειροποίητη κούπα με λουλούδια|Παιδικό κρεβάτι από έλατο|Κίτρινο ανδρικό μπουφάν, μεγάλη ποικιλία",
    "he": "ספל בעבודת יד עם פרחים|מיטת ילדים מעץ אשוח|מעיל גברים צהוב, מבחר גדול",
    "ar": "كوب مصنوع يدويا بالزهور|سرير أطفال من خشب التنوب|سترة رجالية صفراء بمقاسات كثيرة",
    "th": "แก้วเซรามิกทำมือลายดอกไม้|เตียงเด็กไม้สน|เสื้อแจ็คเก็ตสีเหลืองสำหรับผู้ชาย",
    "ja": "花柄の手作りマグカップ|木製の子供用ベッド、送料無料|黄色いメンズジャケット、全サイズ",
    "zh": "手工制作的花卉陶瓷杯子|儿童木床，包邮|黄色男士夹克，多种尺寸可选",
    "zht": "手工製作的花卉陶瓷杯子|兒童木床，免運費|黃色男士夾克，多種尺寸可選",
    "ko": "꽃무늬 수제 머그컵|어린이용 나무 침대, 무료 배송|노란색 남성 재킷, 다양한 사이즈",
}
ENCODINGS = [
    *(("cp1252", language) for language in ("de", "fr", "es", "pt", "sv", "da", "fi")),
    *(("iso8859-15", language) for language in ("de", "es", "pt", "sv", "da")),
    *(("mac-roman", language) for language in ("de", "fr", "es", "pt", "sv", "da")),
    *(("cp850", language) for language in ("es", "pt", "sv", "da")),
    *((encoding, language) for encoding in ("cp1250", "iso8859-2", "cp852") for language in ("pl", "cs", "hu")),
    ("cp1254", "tr"),
    ("iso8859-9", "tr"),
    ("cp1257", "lt"),
    ("cp1258", "vi"),
    *((encoding, "ru") for encoding in ("cp1251", "koi8-r", "cp866", "iso8859-5", "mac-cyrillic")),
    ("cp1251", "uk"),
    ("koi8-u", "uk"),
    ("cp1253", "el"),
    ("iso8859-7", "el"),
    ("cp1255", "he"),
    ("cp1256", "ar"),
    ("cp874", "th"),
    ("cp932", "ja"),
    ("euc_jp", "ja"),
    ("iso2022_jp", "ja"),
    ("gb2312", "zh"),
    ("gb18030", "zh"),
    ("big5", "zht"),
    ("euc_kr", "ko"),
]


# In UTF-8.
FILES_OF_ANY_ENCODING = {
    "shop.csv": "nr;artikel\nA1;Größe\n",
    "shop.json": '[{"nr": "A1", "artikel": "Größe"}]',
    "shop.xml": "<a><b><nr>A1</nr><artikel>Größe</artikel></b><b><nr>A2</nr></b></a>",
}


def encode(text: str, encoding: str) -> bytes:
    """Encode a text; Windows-1258 writes the tones of Vietnamese as combining characters."""
    if encoding != "cp1258":
        return text.encode(encoding)
    tones = "\u0300\u0301\u0303\u0309\u0323"
    encoded = ""
    for character in text:
        letters = unicodedata.normalize("NFD", character)
        base = unicodedata.normalize("NFC", "".join(letter for letter in letters if letter not in tones))
        encoded += base + "".join(letter for letter in letters if letter in tones)
    return encoded.encode(encoding)


@pytest.mark.parametrize(("encoding", "language"), ENCODINGS)
@pytest.mark.parametrize("repeat", [1, 20], ids=["short", "long"])
def test_sentences_in_each_encoding(encoding: str, language: str, repeat: int) -> None:
    sentences = SENTENCES[language].split("|")
    lines = [f"{number};{sentence}" for number, sentence in enumerate(sentences * repeat)]
    if encoding in ("mac-roman", "cp850"):
        lines = [line.replace("€", "EUR").replace("’", "'") for line in lines]
    text = "\n".join(["id;name", *lines]) + "\n"
    table = read_table(temporary_file(encode(text, encoding)))
    assert [row["name"] for row in table.rows] == [line.partition(";")[2] for line in lines]
    assert table.notes == []


@pytest.mark.parametrize(
    ("encoding", "word"),
    [
        ("cp1252", "Jacke Größe L"),
        ("cp850", "Jacke Größe L"),
        ("mac-roman", "Jacke Größe L"),
        ("cp1252", "5 €"),
        ("iso8859-15", "5 €"),
        ("cp1252", "don’t"),
        ("cp1252", "Señor"),
        ("cp1252", "20 °C"),
        ("cp1250", "Łódź żółty"),
        ("iso8859-2", "Łódź żółty"),
        ("cp1254", "Kırmızı şapka"),
        ("koi8-r", "Красная шапка"),
        ("cp866", "Красная шапка"),
        ("euc_jp", "赤いマグカップ"),
        ("gb2312", "红色杯子"),
    ],
)
def test_single_row(encoding: str, word: str) -> None:
    [row] = read_table(temporary_file(f"id;name\n1;{word}\n".encode(encoding))).rows
    assert row["name"] == word


@pytest.mark.parametrize("position", [0, 500, 999])
def test_damaged_utf8_stays_utf8_and_the_lines_are_noted(position: int) -> None:
    lines = [f"{number};Kräuterbutter süß".encode() for number in range(1000)]
    lines[position] = lines[position].replace("ä".encode(), b"\xe4")
    table = read_table(temporary_file(b"\n".join([b"id;name", *lines]) + b"\n"))
    assert table.rows[position]["name"] == "Kr\ufffduterbutter süß"
    assert table.rows[position - 1]["name"] == "Kräuterbutter süß"
    assert table.notes == [f"Line {position + 2}: a byte is not UTF-8 and was replaced by “\ufffd”"]


def test_chosen_encoding_is_used() -> None:
    data = io.BytesIO("id;name\n1;Größe\n".encode("cp1252"))
    assert detect_encoding(data, "cp1253").name == "cp1253"


@pytest.mark.parametrize("name", FILES_OF_ANY_ENCODING)
def test_any_encoding_can_be_chosen(name: str) -> None:
    for encoding in ENCODING_LABELS:
        with suppress(InvalidFileError):
            read_sample(io.BytesIO(FILES_OF_ANY_ENCODING[name].encode()), 20, ReadOptions(encoding=encoding))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_chosen_utf16_needs_no_byte_order_mark(encoding: str) -> None:
    data = io.BytesIO("id;name\n1;Mug\n".encode(encoding))
    assert detect_encoding(data, "utf-16").name == encoding


@pytest.mark.parametrize("data", [b"id;name\n1;Mug\n", b"id;name\n1;Mug", b"\xef\xbb\xbfid", b"\xd8", b""])
def test_chosen_utf16_is_used_for_other_files_too(data: bytes) -> None:
    """The file is unreadable, which is shown: it is no error of ours."""
    assert detect_encoding(io.BytesIO(data), "utf-16").name == "utf-16-le"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text",
    [
        "код;название;цена\n" + "".join(f"А{number};Большая синяя кружка;9,90\n" for number in range(20)),
        "артикул,имя\nпервый,Кружка большая\nвторой,Лампа настольная\n",
        "κωδικός,όνομα\nΑ1,Μεγάλη κούπα\nΑ2,Λάμπα\n",
        "מזהה,שם\nא1,ספל כחול\nא2,מנורה\n",
    ],
)
def test_utf16_of_another_script_without_byte_order_mark(text: str, encoding: str) -> None:
    data = text.encode(encoding)
    assert detect_encoding(temporary_file(data)).name == encoding
    assert len(read_table(temporary_file(data)).rows) == text.count("\n") - 1
    assert len(read_table(truncate_to_line(temporary_file(data))).rows) == text.count("\n") - 1


def test_binary_file_is_rejected() -> None:
    with pytest.raises(InvalidFileError, match="not a text file"):
        detect_encoding(io.BytesIO(b"\x00\x01\x02\xff" * 100 + b"a\x00b"))


@given(st.binary(max_size=300))
def test_any_bytes_have_a_known_encoding_or_are_no_text(data: bytes) -> None:
    try:
        name = detect_encoding(io.BytesIO(data)).name
    except InvalidFileError:
        return
    assert name.removesuffix("-sig") in ENCODING_LABELS
