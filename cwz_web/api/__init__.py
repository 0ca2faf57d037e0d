"""What machines talk to: `/v1` (an API key), `/i` (a signed address), `/hooks` (a signed message).

JSON in, images or JSON out, RFC 9457 problems when something is wrong (web/problems.py). None of it takes a cookie,
so none of it needs a CSRF token.
"""
