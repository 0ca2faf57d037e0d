"""Fields that a feed offers to a template."""

from cwz_web.feeds.columns import ColumnType
from cwz_web.imaging.template_parts import TemplateField
from cwz_web.runs.feed_fields import propose_fields
from cwz_web.runs.mapping import guess_mapping

COLUMNS = ["sku", "Product name", "Variant Price", "compare_at_price", "main photo", "Größe", "2nd", "k"]
TYPES = {
    "Variant Price": ColumnType.PRICE,
    "compare_at_price": ColumnType.PRICE,
    "main photo": ColumnType.IMAGE,
}
ROWS = [
    {"sku": "1", "Product name": "Mug", "Variant Price": "€ 24", "main photo": "https://shop.example/1.jpg", "2nd": ""},
    {"sku": "2", "Product name": "Lamp", "Variant Price": "€ 89", "compare_at_price": "€ 119", "2nd": "x"},
]


def test_each_column_becomes_a_field_that_is_mapped_to_it() -> None:
    fields = propose_fields([], COLUMNS, TYPES, ROWS)
    assert [(field.name, field.label, field.type) for field in fields] == [
        ("sku", "Sku", "text"),
        ("title", "Title", "text"),
        ("price", "Price", "money"),
        ("old_price", "Old price", "money"),
        ("image", "Image", "image"),
        ("gr_e", "Größe", "text"),
        ("column_2nd", "2nd", "text"),
        ("k_value", "K", "text"),
    ]
    mapping = guess_mapping(fields, COLUMNS, ROWS)
    assert list(mapping.values()) == COLUMNS


def test_default_is_the_first_value_that_fits_the_type() -> None:
    defaults = {field.name: field.default for field in propose_fields([], COLUMNS, TYPES, ROWS)}
    assert defaults["old_price"] == "€ 119"
    assert defaults["column_2nd"] == "x"
    assert not defaults["image"]
    [field] = propose_fields([], ["weight"], {"weight": ColumnType.NUMBER}, [{"weight": "about 3"}])
    assert (field.type, field.default) == ("text", "about 3")


def test_column_that_a_field_shows_is_not_proposed() -> None:
    fields = [TemplateField(name="title", label="Title"), TemplateField(name="old_price", label="Before")]
    proposed = [field.name for field in propose_fields(fields, COLUMNS[:4], TYPES, ROWS)]
    assert proposed == ["sku", "price"]


def test_name_that_the_template_has_gets_a_number() -> None:
    fields = [TemplateField(name="size", label="Chart")]
    assert [field.name for field in propose_fields(fields, ["Size", "size!"], {}, [])] == ["size_2"]
