"""Outbound HTTP with protection against server-side request forgery (SSRF).

Every URL that a user enters is fetched through this package. Modules: public IP addresses (`addresses.py`), the client
that connects to checked addresses only (`client.py`), the same guard for third-party SDKs (`guard.py`), what both share
(`resolution.py`, `deadlines.py`, `content_encoding.py`, `urls.py`), registrable domains (`sites.py`), and TXT records
(`dns.py`).
"""
