"""What numbers and dates have in common: digits of all scripts, invisible characters, spaces and dashes."""

import unicodedata

MAX_LENGTH = 100
_SPACES = "\t\n\r\x0b\x0c\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_INVISIBLE = (
    "\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067"
    "\u2068\u2069\ufeff"
)
# Signs that are written in several ways: apostrophes and other signs between thousands, minus, comma, point, percent.
_VARIANTS = {"'": "’‘ʼ′´`＇٬⹁", "-": "−‐‑﹣－", "–": "—―", ",": "，،", ".": "．", "%": "％٪﹪", "(": "（", ")": "）"}
_TABLE = str.maketrans(
    dict.fromkeys(_SPACES, " ")
    | dict.fromkeys(_INVISIBLE, "")
    | {variant: sign for sign, variants in _VARIANTS.items() for variant in variants}
)


def normalize(text: str) -> str:
    """Return a text with Western digits, and one way of writing each space and sign."""
    if not text.isascii():
        text = "".join(
            str(unicodedata.decimal(character)) if character.isdecimal() else character for character in text
        )
    return text.translate(_TABLE).strip()


def has_digit(text: str) -> bool:
    """Return whether there is a decimal digit of any script in a text."""
    return any(map(str.isdecimal, text))
