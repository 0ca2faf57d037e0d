from cwz_web.demo.feed_rows import FeedRows, find_rows
from cwz_web.demo.starters import list_starters

CARD, DROP = list_starters()["catalog-card"], list_starters()["price-drop"]
PHOTO = "https://photos.example/1.jpg"


def test_rows_have_all_key_fields() -> None:
    rows = [
        {"Name": "Lamp", "Photo": ""},
        {"Name": "Mug", "Photo": PHOTO},
        {"Name": " ", "Photo": PHOTO},
        {"Name": "Soap", "Photo": PHOTO},
        {"Name": "Clock", "Photo": PHOTO},
    ]
    assert find_rows(CARD, ["Name", "Photo"], rows, 2) == FeedRows((1, 3))


def test_problem_names_what_the_feed_lacks() -> None:
    assert find_rows(CARD, ["sku"], [{"sku": "1"}], 1).problem == "No column for Title and Image"
    assert find_rows(DROP, ["sku"], [{"sku": "1"}], 1).problem == "No column for Title, Price and Old price"
    rows = [{"title": "Lamp", "image": ""}]
    assert find_rows(CARD, ["title", "image"], rows, 1).problem == "No row with Title and Image among the first 1"
    assert find_rows(CARD, ["title"], [], 1).problem == "This feed has no rows"
