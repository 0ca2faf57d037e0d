"""Outbound HTTP that cannot be turned inward. Everything that fetches an address somebody typed goes through here.

In: which addresses are public (`addresses.py`), and the client that connects only to those (`client.py`).
"""
