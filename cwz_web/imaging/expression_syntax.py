"""The syntax of expressions: tokens, limits, and the translation into what the CEL library compiles.

The library neither interrupts an evaluation nor limits its memory. So what an expression may do is limited here, before
it is compiled: its length, its functions, and how much its macros can repeat.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from cwz_web.i18n import gettext, gettext_noop, number
from cwz_web.imaging.bindings import ENTRY_MEMBER
from cwz_web.imaging.photo_facts import PHOTO_PARTS, field_of

MAX_LENGTH = 500
MAX_TOKENS = 200
# Each + copies both sides; inside a macro it does so for each item.
MAX_ADDITIONS, MAX_REPEATED_ADDITIONS = 40, 6
MAX_LIST_ITEMS = 50

MACROS = frozenset(["all", "exists", "exists_one", "filter", "map"])
_KEYWORDS = frozenset(["in", "true", "false", "null"])
# The CEL specification, section "Syntax".
_RESERVED = frozenset(
    [*("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package")]
) | {"namespace", "return", "var", "void", "while"}
# Functions of CEL that the library computes otherwise than its specification, or without a limit, and ours.
_SUBSTITUTES = {"size": "length", "string": "text", "matches": "has_match"}

_token = re.compile(
    r"""(?P<blank>\s+|//[^\n]*)
    |(?P<string>[rR]?(?:\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    |(?P<number>(?:\d+\.\d+|\.\d+|\d+)(?:[eE][-+]?\d+)?)(?![A-Za-z0-9_])
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?!["'])
    |(?P<sign>&&|\|\||[=!<>]=|[-+*/<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_brackets = {"(": ")", "[": "]", "{": "}"}
_whole = re.compile(r"\d+")
# What is not expected in an expression, by its first character.
_UNEXPECTED = {
    "%": gettext_noop("“%(text)s” is not expected here (character %(position)s). Use round_to"),
    "=": gettext_noop("“%(text)s” is not expected here (character %(position)s). Compare with =="),
    "": gettext_noop("“%(text)s” is not expected here (character %(position)s)"),
}


def is_reserved(name: str) -> bool:
    """Return whether no variable of an expression can have a name."""
    return name in _RESERVED or name in _KEYWORDS


class ExpressionError(ValueError):
    """An expression cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Token:
    """A token of an expression: a string, number, name, part or sign, and where it begins (from 0)."""

    kind: str
    text: str
    start: int


@dataclass(frozen=True)
class Call:
    """A call of a function or a macro.

    Attributes:
        name: the name of the function, as CEL calls it.
        arguments: the tokens of each argument.
        has_target: whether the first argument stands before a point, as in `title.upper()`.
        start: where its name is, as an index of a token.
        end: where its closing parenthesis is.
        position: where it is in the source, counted from 1, for messages.
    """

    name: str
    arguments: tuple[tuple[Token, ...], ...]
    has_target: bool
    start: int
    end: int
    position: int

    @property
    def is_macro(self) -> bool:
        """Whether it is a macro, which is evaluated for each item of a list."""
        return self.has_target and self.name in MACROS

    @property
    def count(self) -> int:
        """How many arguments the function gets."""
        return len(self.arguments) + self.has_target


@dataclass(frozen=True)
class Syntax:
    """A checked expression.

    Attributes:
        translation: what the library compiles.
        calls: the calls of functions, without macros.
        variables: the names that the library has another variable for, by this variable.
        macro_names: the variables of macros.
        repeated_names: other names inside macros that must not be lists.
        has_macros: whether a part is evaluated for each item of a list.
        photo_parts: the parts of photos, such as photo.width.
        comparisons: the names and parts that are compared by == or !=, each with the literal.
    """

    translation: str
    calls: tuple[Call, ...]
    variables: Mapping[str, str]
    macro_names: frozenset[str]
    repeated_names: frozenset[str]
    has_macros: bool
    photo_parts: frozenset[str]
    comparisons: frozenset[tuple[str, Token]]

    @property
    def photos(self) -> frozenset[str]:
        """The names of the fields whose photos have these parts."""
        return frozenset(field_of(part) for part in self.photo_parts)


def read_syntax(source: str) -> Syntax:
    """Read and check an expression. Raises ExpressionError."""
    if len(source) > MAX_LENGTH:
        raise ExpressionError(
            gettext(
                "The expression has %(number)s characters. Use at most %(max)s",
                number=number(len(source)),
                max=MAX_LENGTH,
            )
        )
    tokens = read_tokens(source)
    if not tokens:
        raise ExpressionError(gettext("Enter an expression, such as price > 10"))
    if len(tokens) > MAX_TOKENS:
        raise ExpressionError(
            gettext(
                "The expression has %(number)s names, values and signs. Use at most %(max)s",
                number=len(tokens),
                max=MAX_TOKENS,
            )
        )
    closing = _match_brackets(tokens)
    calls = [_read_call(tokens, closing, index) for index in _call_starts(tokens)]
    macros = [call for call in calls if call.is_macro]
    _check_names(tokens)
    if _count(tokens, "+") > MAX_ADDITIONS:
        raise ExpressionError(gettext("The expression has more than %(max)s additions", max=MAX_ADDITIONS))
    for start, end in closing.items():
        if len(_split_arguments(tokens, start, end)) > MAX_LIST_ITEMS:
            raise ExpressionError(
                gettext(
                    "A list has more than %(max)s items (character %(position)s)",
                    max=MAX_LIST_ITEMS,
                    position=tokens[start].start + 1,
                )
            )
    repeated = _check_macros(tokens, closing, macros)
    variables = _member_variables(tokens)
    macro_names = frozenset(macro.arguments[0][0].text for macro in macros)
    return Syntax(
        " ".join(_translate(tokens, closing, variables)),
        tuple(call for call in calls if not call.is_macro),
        {variable: name for name, variable in variables.items()},
        macro_names,
        repeated,
        bool(macros),
        _check_parts(tokens, macro_names),
        frozenset(_comparisons(tokens)),
    )


def read_tokens(source: str) -> list[Token]:
    """Return the tokens of an expression, which need not be valid otherwise. Raises ExpressionError."""
    tokens = [token for token in _split(source) if token.kind != "blank"]
    return list(_join_parts(list(_join_members(tokens))))


def split_operands(source: str, sign: str) -> list[str]:
    """Return the operands of an expression that && or || joins as a whole; the expression alone if it does not."""
    operands, depth, start = [], 0, 0
    for token in read_tokens(source):
        if token.kind != "sign":
            continue
        depth += (token.text in _brackets) - (token.text in _brackets.values())
        if depth == 0 and (token.text in ("?", ":") or (sign == "&&" and token.text == "||")):
            return [source]
        if depth == 0 and token.text == sign:
            operands.append(source[start : token.start])
            start = token.start + len(sign)
    return [*operands, source[start:]]


def _split(source: str) -> Iterator[Token]:
    position = 0
    while position < len(source):
        match = _token.match(source, position)
        if match is None:
            message = _UNEXPECTED.get(source[position], _UNEXPECTED[""])
            text = source[position : position + 10]
            raise ExpressionError(gettext(message, text=text, position=position + 1))
        yield Token(str(match.lastgroup), match[0], position)
        position = match.end()


def _join_members(tokens: list[Token]) -> Iterator[Token]:
    """Yield tokens with `item.name`, the member of an entry, as one name."""
    index = 0
    while index < len(tokens):
        token = tokens[index]
        kinds = [each.kind for each in tokens[index : index + 3]]
        is_member = kinds == ["name", "sign", "name"] and f"{token.text}{tokens[index + 1].text}" == ENTRY_MEMBER
        is_start = index == 0 or tokens[index - 1].text != "."
        if is_member and is_start and not _is_called(tokens, index + 2):
            yield Token("name", f"{ENTRY_MEMBER}{tokens[index + 2].text}", token.start)
            index += 3
        else:
            yield token
            index += 1


def _join_parts(tokens: list[Token]) -> Iterator[Token]:
    """Yield tokens with `photo.width`, a part of a photo, as one token."""
    index = 0
    while index < len(tokens):
        token = tokens[index]
        following = [each.text for each in tokens[index + 1 : index + 4]]
        is_value = token.kind == "name" and token.text not in _KEYWORDS and "." not in token.text
        is_part = is_value and following[:1] == ["."] and set(following[1:2]) <= PHOTO_PARTS.keys()
        if is_part and len(following) > 1 and following[2:] != ["("]:
            yield Token("part", f"{token.text}.{following[1]}", token.start)
            index += 3
        else:
            yield token
            index += 1


def _member_variables(tokens: Iterable[Token]) -> dict[str, str]:
    """Return a variable for each member of an entry or a photo that is used, which no other name is."""
    names = {token.text for token in tokens if token.kind in ("name", "part")}
    suffix = "_" * max((len(name) for name in names), default=0)
    return {name: name.replace(".", "_") + suffix for name in sorted(names) if "." in name}


def _check_parts(tokens: list[Token], macro_names: frozenset[str]) -> frozenset[str]:
    """Return the parts of photos. An item of a list is a text, and has none."""
    for token in tokens:
        if token.kind == "part" and field_of(token.text) in macro_names:
            raise ExpressionError(
                gettext(
                    "An item of a list has no parts: “%(text)s” (character %(position)s)",
                    text=token.text,
                    position=token.start + 1,
                )
            )
    return frozenset(token.text for token in tokens if token.kind == "part")


def _match_brackets(tokens: list[Token]) -> dict[int, int]:
    """Return the index of the closing bracket of each opening one."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    for index, token in enumerate(tokens):
        if token.kind != "sign":
            continue
        if token.text in _brackets:
            opened.append(index)
        elif token.text in _brackets.values():
            if not opened or _brackets[tokens[opened[-1]].text] != token.text:
                raise ExpressionError(
                    gettext(
                        "“%(text)s” closes nothing (character %(position)s)", text=token.text, position=token.start + 1
                    )
                )
            closing[opened.pop()] = index
    if opened:
        token = tokens[opened[-1]]
        raise ExpressionError(
            gettext("“%(text)s” is not closed (character %(position)s)", text=token.text, position=token.start + 1)
        )
    return closing


def _call_starts(tokens: list[Token]) -> Iterator[int]:
    for index, (token, following) in enumerate(pairwise(tokens)):
        if token.kind == "name" and token.text not in _KEYWORDS and following.text == "(":
            yield index


def _read_call(tokens: list[Token], closing: dict[int, int], index: int) -> Call:
    name, end = tokens[index].text, closing[index + 1]
    has_target = index > 0 and tokens[index - 1].text == "."
    arguments = tuple(_split_arguments(tokens, index + 1, end))
    return Call(_SUBSTITUTES.get(name, name), arguments, has_target, index, end, tokens[index].start + 1)


def _split_arguments(tokens: list[Token], start: int, end: int) -> list[tuple[Token, ...]]:
    """Return the parts between commas inside of brackets."""
    arguments: list[list[Token]] = [[]]
    depth = 0
    for token in tokens[start + 1 : end]:
        depth += (token.text in _brackets) - (token.text in _brackets.values()) if token.kind == "sign" else 0
        if token.text == "," and depth == 0:
            arguments.append([])
        else:
            arguments[-1].append(token)
    return [tuple(argument) for argument in arguments] if arguments != [[]] else []


def _check_names(tokens: list[Token]) -> None:
    for index, token in enumerate(tokens):
        following = tokens[index + 1].text if index + 1 < len(tokens) else ""
        if token.kind == "name" and token.text in _RESERVED:
            raise ExpressionError(
                gettext(
                    "“%(text)s” is a reserved word of CEL (character %(position)s). Rename the field",
                    text=token.text,
                    position=token.start + 1,
                )
            )
        if token.kind == "name" and index and tokens[index - 1].text == "." and following != "(":
            known = ", ".join(sorted(PHOTO_PARTS))
            raise ExpressionError(
                gettext(
                    "Values have no parts: remove “.%(text)s” (character %(position)s). Only item has them, in a"
                    " repeated stack, and images: %(parts)s",
                    text=token.text,
                    position=token.start + 1,
                    parts=known,
                )
            )


def _check_macros(tokens: list[Token], closing: dict[int, int], macros: list[Call]) -> frozenset[str]:
    """Check what macros repeat, and return the names in them that must not be lists."""
    opening = {end: start for start, end in closing.items()}
    inside: dict[str, set[int]] = {}
    repeated: set[str] = set()
    additions = 0
    for macro in macros:
        named = {"name": macro.name, "position": macro.position}
        if any(macro.start < other.start < macro.end for other in macros):
            raise ExpressionError(
                gettext(
                    "%(name)s contains another macro (character %(position)s). Use one macro after the other", **named
                )
            )
        if len(macro.arguments) not in (2, 3) or not _is_variable(macro.arguments[0]):
            raise ExpressionError(
                gettext(
                    "%(name)s needs a name and a value (character %(position)s), as in tags.%(name)s(tag, …)", **named
                )
            )
        _check_macro_list(tokens, opening, macro)
        name = macro.arguments[0][0].text
        body = range(macro.start + 2, macro.end)
        inside.setdefault(name, set()).update(body)
        additions += _count(tokens[body.start : body.stop], "+")
        repeated.update(_repeated_names(tokens, body) - {name})
    if additions > MAX_REPEATED_ADDITIONS:
        raise ExpressionError(gettext("Macros contain more than %(max)s additions", max=MAX_REPEATED_ADDITIONS))
    for index, token in enumerate(tokens):
        is_variable = token.kind == "name" and not _is_called(tokens, index)
        if is_variable and token.text.startswith(ENTRY_MEMBER) and "item" in inside:
            raise ExpressionError(
                gettext(
                    "“item” is the name of a macro’s item (character %(position)s), which has no parts",
                    position=token.start + 1,
                )
            )
        if is_variable and token.text in inside and index not in inside[token.text]:
            raise ExpressionError(
                gettext(
                    "“%(text)s” is the name of a macro’s item (character %(position)s). Use another name",
                    text=token.text,
                    position=token.start + 1,
                )
            )
    return frozenset(repeated)


def _is_variable(argument: tuple[Token, ...]) -> bool:
    return [token.kind for token in argument] == ["name"] and "." not in argument[0].text


def _check_macro_list(tokens: list[Token], opening: dict[int, int], macro: Call) -> None:
    """Check that a macro's list has a limit: a field, a list of single values, or the result of a function."""
    end = macro.start - 2
    target = tokens[end]
    start = opening.get(end, end)
    before = tokens[start - 1] if start else None
    if target.text == ")" and target.kind == "sign":
        is_limited = before is not None and before.kind == "name" and before.text not in MACROS | _KEYWORDS
    elif target.text == "]" and target.kind == "sign":
        is_limited = not _is_index(tokens, start)
    else:
        is_limited = target.kind == "name" and (before is None or before.text != ".")
    if not is_limited:
        raise ExpressionError(
            gettext(
                "%(name)s needs a field, a list or a function before it (character %(position)s)",
                name=macro.name,
                position=macro.position,
            )
        )


def _repeated_names(tokens: list[Token], body: range) -> set[str]:
    """Return the names in a macro that must not be lists, since its results would contain them many times."""
    names: set[str] = set()
    for index in body:
        token, before = tokens[index], tokens[index - 1]
        is_in = before.kind == "name" and before.text == "in"
        if _makes_list(tokens, index):
            raise ExpressionError(
                gettext(
                    "A macro cannot make lists (character %(position)s). Use a list only behind “in”",
                    position=token.start + 1,
                )
            )
        if token.kind == "name" and token.text not in _KEYWORDS and not is_in and not _is_called(tokens, index):
            names.add(token.text)
    return names


def _makes_list(tokens: list[Token], index: int) -> bool:
    """Return whether a token begins a list or a map, or calls `split`; a list behind `in` only is a test."""
    token, before = tokens[index], tokens[index - 1]
    if token.kind == "name":
        return token.text == "split" and _is_called(tokens, index)
    if token.kind != "sign" or token.text not in "{[":
        return False
    return token.text == "{" or (before.text != "in" and not _is_index(tokens, index))


def _is_called(tokens: list[Token], index: int) -> bool:
    return index + 1 < len(tokens) and tokens[index + 1].text == "("


def _is_index(tokens: list[Token], index: int) -> bool:
    """Return whether a bracket is behind a value, and not the beginning of a list."""
    if index == 0:
        return False
    before = tokens[index - 1]
    if before.kind == "sign":
        return before.text in (")", "]", "}")
    return before.kind == "string" or before.text not in _KEYWORDS


def _translate(tokens: list[Token], closing: dict[int, int], variables: Mapping[str, str]) -> Iterator[str]:
    """Yield the tokens that the library compiles: with our functions, and every number as a double.

    CEL does not multiply a double by an integer, so that `price * 2` would fail. An index stays an integer.
    """
    for index, token in enumerate(tokens):
        if token.kind == "number" and _whole.fullmatch(token.text):
            is_index = tokens[index - 1].text == "[" and closing.get(index - 1) == index + 1
            yield token.text if is_index and _is_index(tokens, index - 1) else f"{token.text}.0"
        elif token.kind == "name" and _is_called(tokens, index):
            yield _SUBSTITUTES.get(token.text, token.text)
        else:
            yield variables.get(token.text, token.text)


def _comparisons(tokens: list[Token]) -> Iterator[tuple[str, Token]]:
    """Yield each name and part between which and a literal there is == or !=, with the literal."""
    for left, sign, right in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if sign.text in ("==", "!="):
            for name, literal in ((left, right), (right, left)):
                if name.kind in ("name", "part") and literal.kind in ("number", "string"):
                    yield name.text, literal


def _count(tokens: list[Token], sign: str) -> int:
    return sum(token.kind == "sign" and token.text == sign for token in tokens)
