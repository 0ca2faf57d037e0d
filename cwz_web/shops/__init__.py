"""Shops: a campaign puts its images into the products of a Shopify or WooCommerce shop, and takes them out again.

Modules: the contract of a shop's API (`contract.py`) with its implementations (`shopify.py`, `woocommerce.py`), the
tables (`models.py`), what the rows of a publication want of the products (`planning.py`), the next change of a product
(`changes.py`), bringing a shop up to date and restoring it (`sync.py`), the products by their state (`products.py`),
and adding, changing and deleting shops (`editing.py`). Decision 62 explains it.
"""
