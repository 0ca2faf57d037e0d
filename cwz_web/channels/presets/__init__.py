"""The presets of platforms, by name."""

from cwz_web.channels.preset import Preset
from cwz_web.channels.presets.generic import GENERIC

PRESETS: dict[str, Preset] = {preset.name: preset for preset in (GENERIC,)}
