"""What several platforms have in common: texts of feeds in several languages for their choices, and images."""

from cwz_web.channels.preset import Carried, ChannelField

IN_STOCK = (
    *("in stock", "instock", "available", "yes", "true", "on stock", "limited availability", "InStoreOnly"),
    *("auf lager", "lagernd", "vorrätig", "verfügbar", "lieferbar", "sofort lieferbar", "ja"),
    *("en stock", "disponible", "oui", "disponibile", "in magazzino", "sì", "sí", "op voorraad", "i lager", "på lager"),
    *("dostępny", "skladem", "в наличии"),
)
SOLD_OUT = (
    *("out of stock", "outofstock", "sold out", "unavailable", "not available", "no", "false", "discontinued"),
    *("ausverkauft", "nicht verfügbar", "nicht vorrätig", "nicht auf lager", "nicht lieferbar", "vergriffen", "nein"),
    *("épuisé", "indisponible", "rupture de stock", "en rupture", "non", "agotado", "sin existencias", "no disponible"),
    *("esaurito", "non disponibile", "uitverkocht", "niet op voorraad", "slutsåld", "udsolgt", "niedostępny"),
    *("vyprodáno", "нет в наличии"),
)
PREORDER = ("pre order", "vorbestellung", "vorbestellbar", "précommande", "preventa", "preordine", "предзаказ")
CONDITIONS = {
    "new": ("neu", "neuf", "neuve", "nuevo", "nuova", "nuovo", "nieuw", "NewCondition", "brand new", "neuware"),
    "refurbished": ("generalüberholt", "reconditionné", "reacondicionado", "ricondizionato", "RefurbishedCondition"),
    "used": ("gebraucht", "occasion", "usado", "usato", "gebruikt", "UsedCondition", "pre owned", "second hand"),
}
GENDERS = {
    "female": (
        "f",
        "w",
        "women",
        "woman",
        "womens",
        "damen",
        "weiblich",
        "femme",
        "femmes",
        "mujer",
        "donna",
        "ladies",
    ),
    "male": ("m", "men", "man", "mens", "herren", "männlich", "homme", "hommes", "hombre", "uomo"),
    "unisex": ("u", "all", "both", "mixte", "divers"),
}
AGE_GROUPS = {
    "newborn": ("neugeborene", "nouveau-né"),
    "infant": ("baby", "babies", "säugling", "bébé"),
    "toddler": ("kleinkind", "tout-petit"),
    "kids": ("kid", "child", "children", "kinder", "kind", "enfant", "enfants", "niños", "bambini"),
    "teen": ("teens", "teenager", "jugendliche", "ado"),
    "adult": ("adults", "erwachsene", "erwachsener", "adulte", "adultes", "adulto", "adultos"),
    "all ages": ("all", "alle", "tous"),
}
# What Google and others refuse on the image of a product.
OVERLAYS = frozenset([Carried.TEXT, Carried.PRICE, Carried.LOGO, Carried.FRAME, Carried.WATERMARK])


def labels(max_length: int) -> tuple[ChannelField, ...]:
    """Return the five labels that campaigns of ads choose products by."""
    return tuple(ChannelField(f"custom_label_{number}", max_length=max_length) for number in range(5))
