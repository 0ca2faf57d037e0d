"""Queries of URLs: a refusal names the parameter and what would be right."""

import pytest
from pyramid.httpexceptions import HTTPUnprocessableEntity

from cwz_web.views.previews import PreviewQuery
from cwz_web.web.fields import Fields
from cwz_web.web.forms import read_query


def test_valid_query() -> None:
    assert read_query(PreviewQuery, Fields([("row", "3")])).row == 3


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"row": "0"}, "The query parameter “row” is not valid. Enter at least 1"),
        ({"feed": "x"}, "The query parameter “feed” is not valid. Choose an option"),
        ({"size": "s" * 41}, "Enter at most 40 characters"),
        ({"x" * 500: ""}, f"The query parameter “{'x' * 60}” is not valid"),
    ],
)
def test_refusal_names_the_parameter(query: dict[str, str], message: str) -> None:
    with pytest.raises(HTTPUnprocessableEntity, match=message):
        read_query(PreviewQuery, Fields(query.items()))
