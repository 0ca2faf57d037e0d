from collections.abc import Mapping

from cwz_web.imaging.template_parts import TemplateField
from cwz_web.runs.stress_rows import find_stress_rows

FIELDS = [
    TemplateField(name="title", label="Title"),
    TemplateField(name="price", label="Price", type="money"),
    TemplateField(name="image", label="Image", type="image"),
]


def row(title: str = "Mug", price: str = "10.00", image: str = "https://example.com/a.jpg") -> Mapping[str, str]:
    return {"title": title, "price": price, "image": image}


def reasons(*rows: Mapping[str, str], limit: int = 12) -> dict[int, str]:
    return {each.number: each.reason for each in find_stress_rows(FIELDS, rows, limit)}


def test_rows_with_extreme_values() -> None:
    found = reasons(
        row(),
        row(title="A very long title indeed"),
        row(image=""),
        row(price="1,999.00"),
        row(title="Å"),
        row(price=""),
    )
    assert found == {
        2: "Longest title, most text",
        3: "No image",
        4: "Highest price",
        5: "Shortest title",
        6: "No price",
    }


def test_row_in_another_script() -> None:
    assert "not latin" in reasons(row("Café crème"), row("マグ"))[2].lower()


def test_prices_are_compared_as_amounts() -> None:
    assert "Highest price" in reasons(row(price="9.00"), row(price="€ 1.234,00"), row(price="call us"))[2]


def test_number_of_rows_is_limited() -> None:
    rows = [row(title="x" * length, price=str(length)) for length in range(1, 9)]
    assert len(reasons(*rows, row(image=""), limit=2)) == 2


def test_no_rows() -> None:
    assert find_stress_rows(FIELDS, []) == []
    assert find_stress_rows([], [{}]) == []
