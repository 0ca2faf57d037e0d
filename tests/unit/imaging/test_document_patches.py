"""The limit of documents that a patch makes."""

import pytest

from cwz_web.imaging.document_length import MAX_DOCUMENT_LENGTH
from cwz_web.imaging.document_patches import InvalidPatchError, Operation, patch_document
from cwz_web.imaging.documents import ImageTemplate
from tests.factories import small_document


def test_document_of_a_patch_is_no_larger_than_an_imported_one() -> None:
    template = ImageTemplate.model_validate(small_document())
    table = {"names": {"a": "ä" * (MAX_DOCUMENT_LENGTH - 5000)}}
    patched = patch_document(template, [Operation(op="add", path="/tables", value=table)])
    assert patched["tables"] == table
    table = {"names": {str(number): "" for number in range(60_000)}}
    with pytest.raises(InvalidPatchError, match="at most 500,000 characters"):
        patch_document(template, [Operation(op="add", path="/tables", value=table)])
