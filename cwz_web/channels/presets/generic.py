"""A file for any program: its fields are chosen freely."""

from cwz_web.channels.preset import FileFormat, Preset, XmlShape

GENERIC = Preset(
    name="generic",
    label="Generic",
    formats=tuple(FileFormat),
    xml=XmlShape(before='<?xml version="1.0" encoding="UTF-8"?>\n<items>\n', item="item", after="</items>\n"),
    keeps_html=True,
)
