"""What all outbound URLs have in common: their length, and percent-encoding as browsers do it."""

from urllib.parse import quote

MAX_URL_LENGTH = 2048
# What browsers leave as it is in a path, a query and a fragment (https://url.spec.whatwg.org). A percent sign begins an
# encoded byte.
_SAFE = "%/?#:@!$&'()*+,;=-._~[]"


def percent_encode(text: str | bytes) -> str:
    """Return a path, query and fragment in ASCII; what is encoded already stays as it is."""
    return quote(text, _SAFE, errors="replace") if isinstance(text, str) else quote(text, _SAFE)
