"""The presets of platforms, by name."""

from cwz_web.channels.preset import Preset
from cwz_web.channels.presets.generic import GENERIC
from cwz_web.channels.presets.google import GOOGLE, GOOGLE_SUPPLEMENTAL

PRESETS: dict[str, Preset] = {preset.name: preset for preset in (GOOGLE, GOOGLE_SUPPLEMENTAL, GENERIC)}
