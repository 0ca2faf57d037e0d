"""Text of users in emails: email programs make links of whatever looks like one, also of a workspace's name.

A domain gets brackets around its dots (`www[.]evil[.]test`), a URL around its colon as well, as in reports about
malware: people can read it, programs do not link it.
"""

import re
import unicodedata

# Browsers take these for dots, too (UTS #46).
DOTS = ".\u3002\uff0e\uff61"
# Of feeds and images, and not top-level domains.
FILE_EXTENSIONS = frozenset({"csv", "tsv", "json", "jsonl", "xml", "xlsx", "ods", "png", "jpg", "jpeg", "webp", "avif"})
# They join letters and emoji.
JOINERS = "\u200c\u200d"

_word = re.compile(r"\S+")
_email_address = re.compile(r"[<(]?[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+[>)]?[.,;:!?]?")
_domain = re.compile(rf"(?<![\w-])[\w-]+(?:[{DOTS}][\w-]+)+")


def without_links(text: str) -> str:
    """Return a text in which no program finds a link; email addresses remain.

    Control characters are removed, among them those that change the direction of the text.
    """
    visible = "".join(char for char in text if char in JOINERS or unicodedata.category(char) not in ("Cc", "Cf"))
    return _word.sub(lambda word: word[0] if _email_address.fullmatch(word[0]) else _without_link(word[0]), visible)


def _without_link(word: str) -> str:
    is_url = "://" in word or "/" in word or word.lower().startswith("www")

    def bracket(match: re.Match[str]) -> str:
        last = re.split(f"[{DOTS}]", match[0])[-1].lower().rstrip("-_")
        is_domain = (len(last) > 1 and last.isalpha()) or last.startswith("xn--")
        if not is_url and (not is_domain or last in FILE_EXTENSIONS):
            return match[0]
        return re.sub(f"[{DOTS}]", "[.]", match[0])

    return _domain.sub(bracket, word.replace("://", "[:]//"))
