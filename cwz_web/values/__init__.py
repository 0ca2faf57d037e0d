"""Numbers, amounts of money and dates as people write them: read with certainty, or with the reason why not.

A text has one reading, or the format of its column or the locale of its request decides between two; otherwise it is
`Unclear`. Nothing is guessed. A JSON number has no locale: it is what it says.
"""
