"""The presets of platforms, by name."""

from cwz_web.channels.preset import Preset
from cwz_web.channels.presets.generic import GENERIC
from cwz_web.channels.presets.google import GOOGLE, GOOGLE_SUPPLEMENTAL
from cwz_web.channels.presets.meta import META
from cwz_web.channels.presets.microsoft import MICROSOFT
from cwz_web.channels.presets.retail import AWIN, CRITEO, IDEALO
from cwz_web.channels.presets.social import PINTEREST, SNAPCHAT, TIKTOK

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        *(GOOGLE, GOOGLE_SUPPLEMENTAL, META, TIKTOK, PINTEREST, SNAPCHAT, MICROSOFT),
        *(CRITEO, AWIN, IDEALO, GENERIC),
    )
}
