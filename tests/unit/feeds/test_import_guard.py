import dataclasses
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds.import_guard import (
    Baseline,
    ColumnFill,
    ColumnUses,
    FileFigures,
    KeyChanges,
    TemplateUse,
    find_lost_columns,
    find_reasons,
    next_baseline,
)

CARD = TemplateUse(id=UUID(int=1), slug="card", name="Card", automatic=True)
BANNER = TemplateUse(id=UUID(int=2), slug="banner", name="Banner")
USES = {"title": [BANNER, CARD], "sale": [CARD]}
NO_CHANGES = KeyChanges(before=100, added=0, removed=0, kept=100)
FILE = FileFigures(
    rows=100,
    counted_rows=100,
    filled={"sku": 100, "title": 100, "sale": 30, "note": 100},
    columns=["sku", "title", "sale", "note"],
    size=10_000,
    key=["sku"],
)
BASELINE = next_baseline(None, FILE, USES, is_reviewed=False)


def codes(file: FileFigures, keys: KeyChanges = NO_CHANGES, percent: int = 50, uses: ColumnUses = USES) -> list[str]:
    return [reason.code for reason in find_reasons(BASELINE, file, keys, uses, percent)]


def changed(**changes: object) -> FileFigures:
    return dataclasses.replace(FILE, **changes)  # type: ignore[arg-type]


def filled(**counts: int) -> FileFigures:
    """Return the file with other counts of filled cells."""
    return changed(filled={**FILE.filled, **counts})


def test_same_file_needs_no_review() -> None:
    assert codes(FILE, percent=0) == []


@pytest.mark.parametrize(
    ("removed", "added", "percent", "reasons"),
    [
        (50, 0, 50, []),
        (51, 0, 50, ["rows_removed"]),
        (51, 25, 50, ["rows_removed"]),
        (100, 100, 50, ["keys_changed"]),
        (1, 0, 0, ["rows_removed"]),
        (100, 0, 100, []),
    ],
)
def test_removed_and_changed_keys(removed: int, added: int, percent: int, reasons: list[str]) -> None:
    file = changed(rows=100, has_line_end=True)
    assert codes(file, KeyChanges(100, added, removed, 100 - removed), percent) == reasons


@pytest.mark.parametrize(("kept", "reasons"), [(100, []), (50, []), (49, ["keys_changed"]), (0, ["keys_changed"])])
def test_keys_are_compared_with_those_of_the_baseline(kept: int, reasons: list[str]) -> None:
    assert codes(FILE, KeyChanges(100, 20, 20, kept)) == reasons
    assert codes(changed(key=["title"]), KeyChanges(100, 20, 20, kept)) == []


@pytest.mark.parametrize(
    ("file", "first_rows", "position"),
    [(changed(rows=199), 100, 100), (changed(rows=200), 200, None), (changed(key=["title"]), 100, None)],
)
def test_baseline_keeps_its_first_rows_until_most_are_newer(
    file: FileFigures, first_rows: int, position: int | None
) -> None:
    before = BASELINE.model_copy(update={"position": 100})
    renewed = next_baseline(before, file, USES, is_reviewed=False)
    assert (renewed.first_rows, renewed.position) == (first_rows, position)
    assert next_baseline(before, FILE, USES, is_reviewed=True).position is None


@pytest.mark.parametrize(
    ("figures", "reasons"),
    [
        (filled(title=50), []),
        (filled(title=49), ["column_emptied"]),
        (filled(title=0), ["column_emptied"]),
        (filled(sale=0), []),  # less than half of the rows turn empty
        (filled(note=0), []),  # no template uses it
        (changed(rows=50, counted_rows=50, filled={"sku": 50, "title": 25, "sale": 0}), []),
        (changed(rows=50, counted_rows=50, filled={"sku": 50, "title": 24, "sale": 0}), ["column_emptied"]),
    ],
)
def test_emptied_columns(figures: FileFigures, reasons: list[str]) -> None:
    assert codes(figures) == reasons


@pytest.mark.parametrize(
    ("columns", "has_header", "reasons"),
    [
        (["sku", "sale", "note"], True, ["column_gone"]),
        (["sku", "sale", "note"], False, ["column_gone"]),
        (["sku", "title", "note"], True, ["column_gone"]),
        (["sku", "title", "note"], False, []),  # the sale has ended
        (["sku", "title", "note", "sale_price"], False, ["column_gone"]),  # it was renamed
        (["sku", "title", "sale"], True, []),
    ],
)
@pytest.mark.parametrize("percent", [50, 99])
def test_gone_columns(columns: list[str], has_header: bool, percent: int, reasons: list[str]) -> None:
    counts = {name: FILE.filled.get(name, 30) for name in columns}
    figures = changed(columns=columns, has_header=has_header, filled=counts)
    assert codes(figures, percent=percent) == reasons


def test_reason_names_numbers_and_templates() -> None:
    columns = ["sku", "Title", "sale", "note"]
    figures = changed(columns=columns, filled={"sku": 100, "Title": 100, "sale": 30, "note": 100})
    [reason] = find_reasons(BASELINE, figures, NO_CHANGES, USES, 50)
    assert (reason.column, reason.templates) == ("title", [BANNER, CARD])
    assert str(reason) == (
        "The column “title” is gone; the file has the new column “Title”; in the last good import it had a value in "
        "100 of 100 rows. The column is used by “Banner”, “Card” (automatic run)."
    )


@pytest.mark.parametrize(
    ("figures", "reasons"),
    [
        (changed(cut_off="line 9 has 1 of 3 cells and no line end"), ["cut_off"]),
        (changed(rows=99, has_line_end=False), ["cut_off"]),
        (changed(rows=100, has_line_end=False), []),
        (changed(rows=60, size=6000), []),  # the length was stated
        (changed(rows=60, size=6000, is_length_known=False), ["file_shrunk"]),
        (changed(rows=90, size=7000, is_length_known=False), ["file_shrunk"]),
        (changed(rows=100, size=3000, is_length_known=False), []),  # another format
        (changed(rows=90, size=9000, is_length_known=False), []),
    ],
)
def test_files_that_look_cut_off(figures: FileFigures, reasons: list[str]) -> None:
    assert codes(figures) == reasons


def test_with_another_key_only_the_number_of_rows_counts() -> None:
    other_key = changed(key=["title"])
    assert codes(other_key, KeyChanges(100, 100, 100)) == []
    assert codes(changed(key=["note"], rows=2), KeyChanges(100, 2, 100)) == ["rows_removed"]


def test_lost_columns_are_found() -> None:
    assert find_lost_columns(BASELINE, changed(filled={"sku": 100, "title": 100})) == ["sale", "note"]


def test_reviewed_file_becomes_the_baseline() -> None:
    few = changed(rows=5, counted_rows=5, filled={"sku": 5}, columns=["sku"], size=50)
    reviewed = next_baseline(BASELINE, few, USES, is_reviewed=True)
    assert reviewed == Baseline(
        rows=5, size=50, has_line_end=True, key=["sku"], columns={"sku": ColumnFill(filled=5, rows=5)}, first_rows=5
    )


def test_baseline_keeps_the_best_figures_and_the_used_columns() -> None:
    few = changed(
        rows=80,
        counted_rows=80,
        filled={"sku": 80, "title": 60, "brand": 80},
        columns=["sku", "title", "brand"],
        has_line_end=False,
    )
    kept = next_baseline(BASELINE, few, USES, is_reviewed=False)
    assert (kept.rows, kept.size, kept.has_line_end) == (100, 10_000, False)
    assert kept.columns == {
        "sku": ColumnFill(filled=80, rows=80),
        "title": ColumnFill(filled=100, rows=100),
        "sale": ColumnFill(filled=30, rows=100),
        "brand": ColumnFill(filled=80, rows=80),
    }, "“note”, which no template uses, is forgotten"


counts = st.integers(0, 1000)


@st.composite
def files(draw: st.DrawFn) -> FileFigures:
    rows = draw(st.integers(1, 1000))
    fills = {name: draw(st.integers(0, rows)) for name in ("sku", "title")}
    return changed(rows=rows, counted_rows=rows, filled=fills, columns=["sku", "title"], size=rows * 10)


@given(st.lists(files(), min_size=2, max_size=8), st.integers(0, 99))
def test_no_series_of_imports_loses_more_than_the_share_without_a_review(series: list[FileFigures], share: int) -> None:
    baseline = next_baseline(None, series[0], USES, is_reviewed=False)
    most_rows, best = series[0].rows, series[0].filled["title"] / series[0].rows
    before = series[0].rows
    for file in series[1:]:
        keys = KeyChanges(before, max(file.rows - before, 0), max(before - file.rows, 0), min(before, file.rows))
        if find_reasons(baseline, file, keys, USES, share):
            continue
        assert file.rows >= most_rows * (100 - share) / 100 - 1e-6
        assert best - file.filled["title"] / file.rows <= share / 100 + 1e-6
        baseline = next_baseline(baseline, file, USES, is_reviewed=False)
        before = file.rows
        most_rows, best = max(most_rows, file.rows), max(best, file.filled["title"] / file.rows)


@given(files(), counts, counts, counts, st.integers(0, 100))
def test_a_larger_share_gives_no_new_reasons(
    file: FileFigures, before: int, added: int, removed: int, share: int
) -> None:
    keys = KeyChanges(before + removed, added, removed)
    wide, narrow = (
        {(reason.code, reason.column) for reason in find_reasons(BASELINE, file, keys, USES, percent)}
        for percent in (min(share + 10, 100), share)
    )
    assert {column for _, column in wide} <= {column for _, column in narrow}
    assert len(wide) <= len(narrow)


@given(files(), st.integers(0, 100))
def test_a_file_equal_to_its_baseline_needs_no_review(file: FileFigures, share: int) -> None:
    baseline = next_baseline(None, file, USES, is_reviewed=False)
    assert find_reasons(baseline, file, KeyChanges(file.rows, 0, 0, file.rows), USES, share) == []
    assert next_baseline(baseline, file, USES, is_reviewed=False) == baseline
