"""Lists: search, filters, order and place in the URL, for pages with the macros of `templates/_lists.jinja2`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from pydantic import ConfigDict, Field

from cwz_web.db.pagination import MAX_COUNT, Sort
from cwz_web.i18n import gettext, gettext_noop, ngettext, number
from cwz_web.web.fields import Fields
from cwz_web.web.forms import Form, read_form
from cwz_web.web.request import Request

AFTER = "after"
MAX_SEARCH = 200


class ListForm(Form):
    """The state of a list in its URL. Other parameters are ignored. A subclass adds the filters."""

    model_config = ConfigDict(extra="ignore")

    search: Annotated[str, Field(max_length=MAX_SEARCH)] = ""
    sort: Annotated[str, Field(max_length=40)] = ""
    after: UUID | Literal[""] = ""


F = TypeVar("F", bound=ListForm)


@dataclass(frozen=True)
class Filter:
    """A select of a list's toolbar.

    Attributes:
        name: The parameter of the URL.
        label: What it filters by.
        options: The labels by value. The first value is empty: no filter.
        value: The chosen value; empty for none.
    """

    name: str
    label: str
    options: Mapping[str, str]
    value: str = ""

    @property
    def chosen(self) -> str:
        """The label of the chosen value."""
        return self.options.get(self.value, gettext("unknown"))

    @property
    def text(self) -> str:
        """The filter in use."""
        return gettext("%(filter)s: %(value)s", filter=self.label, value=self.chosen)


@dataclass(frozen=True)
class DateFilter:
    """A date of a list's toolbar, as `YYYY-MM-DD`; empty for none."""

    name: str
    label: str
    value: str = ""
    options: None = None

    @property
    def text(self) -> str:
        """The filter in use."""
        return gettext("%(filter)s: %(value)s", filter=self.label, value=self.value)


@dataclass(frozen=True)
class ActiveFilter:
    """A search or filter in use, and the query string of the list without it."""

    label: str
    query: str


@dataclass(frozen=True)
class ColumnSort:
    """The header of a column that a table can be sorted by.

    Attributes:
        query: The query string of the list sorted by it.
        aria_sort: The direction of the order in use; empty for the order of another column.
    """

    query: str
    aria_sort: str


@dataclass(frozen=True)
class ListTexts:
    """The messages with the noun of a list: languages inflect it.

    Attributes:
        search: The label of the search.
        no_match: No row matches the filters.
        no_more: The page is behind the last row.
        more: There are more than `count` rows.
        count: Returns the number of rows with the noun.
    """

    search: str
    no_match: str
    no_more: str
    more: str
    count: Callable[[int], str]


NOUNS = {
    "campaigns": ListTexts(
        gettext_noop("Search campaigns"),
        gettext_noop("No campaigns match"),
        gettext_noop("No more campaigns"),
        gettext_noop("More than %(count)s campaigns"),
        lambda count: ngettext("%(count)s campaign", "%(count)s campaigns", count),
    ),
    "deliveries": ListTexts(
        gettext_noop("Search deliveries"),
        gettext_noop("No deliveries match"),
        gettext_noop("No more deliveries"),
        gettext_noop("More than %(count)s deliveries"),
        lambda count: ngettext("%(count)s delivery", "%(count)s deliveries", count),
    ),
    "entries": ListTexts(
        gettext_noop("Search entries"),
        gettext_noop("No entries match"),
        gettext_noop("No more entries"),
        gettext_noop("More than %(count)s entries"),
        lambda count: ngettext("%(count)s entry", "%(count)s entries", count),
    ),
    "feeds": ListTexts(
        gettext_noop("Search feeds"),
        gettext_noop("No feeds match"),
        gettext_noop("No more feeds"),
        gettext_noop("More than %(count)s feeds"),
        lambda count: ngettext("%(count)s feed", "%(count)s feeds", count),
    ),
    "images": ListTexts(
        gettext_noop("Search images"),
        gettext_noop("No images match"),
        gettext_noop("No more images"),
        gettext_noop("More than %(count)s images"),
        lambda count: ngettext("%(count)s image", "%(count)s images", count),
    ),
    "keys": ListTexts(
        gettext_noop("Search keys"),
        gettext_noop("No keys match"),
        gettext_noop("No more keys"),
        gettext_noop("More than %(count)s keys"),
        lambda count: ngettext("%(count)s key", "%(count)s keys", count),
    ),
    "members": ListTexts(
        gettext_noop("Search members"),
        gettext_noop("No members match"),
        gettext_noop("No more members"),
        gettext_noop("More than %(count)s members"),
        lambda count: ngettext("%(count)s member", "%(count)s members", count),
    ),
    "requests": ListTexts(
        gettext_noop("Search requests"),
        gettext_noop("No requests match"),
        gettext_noop("No more requests"),
        gettext_noop("More than %(count)s requests"),
        lambda count: ngettext("%(count)s request", "%(count)s requests", count),
    ),
    "rows": ListTexts(
        gettext_noop("Search rows"),
        gettext_noop("No rows match"),
        gettext_noop("No more rows"),
        gettext_noop("More than %(count)s rows"),
        lambda count: ngettext("%(count)s row", "%(count)s rows", count),
    ),
    "runs": ListTexts(
        gettext_noop("Search runs"),
        gettext_noop("No runs match"),
        gettext_noop("No more runs"),
        gettext_noop("More than %(count)s runs"),
        lambda count: ngettext("%(count)s run", "%(count)s runs", count),
    ),
    "templates": ListTexts(
        gettext_noop("Search templates"),
        gettext_noop("No templates match"),
        gettext_noop("No more templates"),
        gettext_noop("More than %(count)s templates"),
        lambda count: ngettext("%(count)s template", "%(count)s templates", count),
    ),
}


@dataclass(frozen=True)
class ListControls:
    """What the macros of `_lists.jinja2` show around the rows of a list.

    Attributes:
        noun: What the list holds, a key of NOUNS.
        search: The text searched for.
        filters: The filters.
        sorts: The orders by value; the first is the default.
        sort: The order in use.
        count: The number of all rows that match, at most MAX_COUNT + 1; None if it is not counted.
        after: Where this page begins; empty for the first page.
        next_after: Where the next page begins; None on the last page.
        placeholder: The placeholder of the search; empty for a search by name.
        kept: Further parameters of the URL, which search, filters and links keep.
    """

    noun: str
    search: str = ""
    filters: tuple[Filter | DateFilter, ...] = ()
    sorts: Mapping[str, Sort] = field(default_factory=dict)
    sort: str = ""
    count: int | None = None
    after: str = ""
    next_after: UUID | int | None = None
    placeholder: str = ""
    kept: tuple[tuple[str, str], ...] = ()

    @property
    def sort_labels(self) -> dict[str, str]:
        """The labels of the orders by value."""
        return {name: gettext(sort.label) for name, sort in self.sorts.items()}

    def column_sort(self, name: str) -> ColumnSort:
        """Return what the header of a column shows that can be sorted by.

        Args:
            name: The order that the header begins with; pressed again, it reverses it.
        """
        reverse = f"-{name}" if f"-{name}" in self.sorts else name
        is_sorted = self.sort in (name, reverse)
        direction = "descending" if self.sorts[self.sort].is_descending else "ascending"
        chosen = reverse if self.sort == name else name
        return ColumnSort(self._encode(self._parameters_with(chosen)), direction if is_sorted else "")

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the first page; defaults are left out, so that equal lists have equal URLs."""
        return self._parameters_with(self.sort)

    @property
    def query(self) -> str:
        """The query string of this page."""
        return self._encode(self.parameters | ({AFTER: self.after} if self.after else {}))

    @property
    def first_query(self) -> str:
        """The query string of the first page."""
        return self._encode(self.parameters)

    @property
    def next_query(self) -> str | None:
        """The query string of the next page; None on the last page."""
        return self._encode(self.parameters | {AFTER: str(self.next_after)}) if self.next_after else None

    @property
    def cleared_query(self) -> str:
        """The query string without search and filters."""
        return self._encode({})

    @property
    def active(self) -> list[ActiveFilter]:
        """The search and the filters in use."""
        chosen = [(choice.name, choice.text) for choice in self.filters if choice.value]
        if self.search:
            chosen.insert(0, ("search", gettext("“%(search)s”", search=self.search)))
        return [ActiveFilter(label, self._query_without(name)) for name, label in chosen]

    @property
    def is_filtered(self) -> bool:
        """Whether a search or filter is in use."""
        return bool(self.search or any(choice.value for choice in self.filters))

    @property
    def count_text(self) -> str:
        """The number of rows with the noun, such as “1 run”, “12 runs” or “More than 1,000 runs”."""
        if self.count is None:
            return ""
        texts = NOUNS[self.noun]
        if self.count > MAX_COUNT:
            return gettext(texts.more, count=number(MAX_COUNT))
        return texts.count(self.count)

    @property
    def search_label(self) -> str:
        """The label of the search."""
        return gettext(NOUNS[self.noun].search)

    @property
    def empty_title(self) -> str:
        """The title of a page without rows, because of the filters or behind the last page."""
        texts = NOUNS[self.noun]
        return gettext(texts.no_match if self.is_filtered else texts.no_more)

    def _parameters_with(self, sort: str) -> dict[str, str]:
        values = {"search": self.search, **{choice.name: choice.value for choice in self.filters}}
        if sort != next(iter(self.sorts), ""):
            values["sort"] = sort
        return {name: value for name, value in values.items() if value}

    def _query_without(self, name: str) -> str:
        return self._encode({key: value for key, value in self.parameters.items() if key != name})

    def _encode(self, parameters: Mapping[str, str]) -> str:
        return urlencode([*parameters.items(), *self.kept])


def read_list_form(model: type[F], request: Request) -> F:
    """Return the state of a list from its URL; a parameter that is not valid is left out."""
    form = read_form(model, request.GET)
    if form.value is not None:
        return form.value
    invalid = {name.partition(".")[0] for name in form.errors}  # the rest is the alternative of a union
    rest = Fields((name, value) for name, value in form.typed.items() if name not in invalid)
    return read_form(model, rest).value or model()  # a repeated parameter hides the errors of others


def choose_sort(sorts: Mapping[str, Sort], name: str) -> str:
    """Return the name of an order, or the first for an unknown one."""
    return name if name in sorts else next(iter(sorts))


def filter_labels(choices: Mapping[Any, tuple[str, object]]) -> dict[str, str]:
    """Return the labels of the choices of a filter by value; a choice is a label and what it stands for."""
    return {str(value): gettext(label) for value, (label, _) in choices.items()}


def keep_url(request: Request, controls: ListControls) -> None:
    """Let htmx show the URL of the list in the address bar, without parameters that are empty."""
    if request.headers.get("HX-Request") == "true":
        request.response.headers["HX-Replace-Url"] = f"{request.path}?{controls.query}".rstrip("?")


def sent_place(request: Request) -> str | None:
    """Return the place in a list that a form on it has sent, as a query string; None for a form of another page."""
    place = request.POST.get("list")
    return place if isinstance(place, str) else None  # not a file


def list_path(request: Request, collection: str, query: str) -> str:
    """Return the path of a list at the place that a form on it has sent, with its parameters encoded again."""
    path = request.path_in(collection)
    parameters = parse_qsl(query[:1000]) if query.isprintable() else []
    return f"{path}?{urlencode(parameters)}" if parameters else path
