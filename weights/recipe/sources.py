# SPDX-License-Identifier: Apache-2.0
"""The corpus as data: which packages, which files inside them, how to clean them, which licence.

In: nothing.  Out: ``ROWS``, a tuple of :class:`Row`, one per source and domain.
Downloading, reading and cleaning are left to archives.py, cleaners.py and corpus.py.
"""

from __future__ import annotations

from dataclasses import dataclass

LANGUAGES = ("en", "fr", "de", "es", "it")
CODE = ("python", "c", "javascript", "html")
DOMAINS = LANGUAGES + CODE


@dataclass(frozen=True)
class Row:
    """One source of one domain: the files of `packages` that match `globs`.

    `*` in a glob also matches `/`, and a glob that starts with `!` excludes.
    """

    source: str
    domain: str
    registry: str  # deb, deb-src, pypi, npm or stdlib (the running interpreter's own library)
    packages: tuple[str, ...]
    globs: tuple[str, ...]
    cleaner: str  # name of a function in cleaners.py
    licence: str


def _prose(source, packages, glob, cleaner, licence, english="en", only=LANGUAGES, skip=()):
    """One row per language.  `{}` in package names and globs is the language code.

    `english` is what stands for `{}` in the English glob; packages named with `{}` that do not
    exist for a language are listed in `skip`.
    """
    rows = []
    for language in only:
        code = english if language == "en" else language
        names = (p.format(language) for p in packages.split())
        globs = tuple(g.format(code) for g in glob.split())
        kept = tuple(n for n in names if n not in skip)
        rows.append(Row(source, language, "deb", kept, globs, cleaner, licence))
    return rows


def _code(domain, registry, globs, listing):
    """One row per `package[=version]: licence` line of `listing`."""
    rows = []
    for line in listing.strip().splitlines():
        package, licence = (part.strip() for part in line.split(": "))
        source = package.split("==")[0].split("@")[0]
        cleaner = "html_source" if domain == "html" else "code"
        rows.append(Row(source, domain, registry, (package,), globs, cleaner, licence))
    return rows


_MAN_PACKAGES = "debhelper dpkg-dev apt dpkg po4a adduser debconf-doc devscripts passwd psmisc"
_KDE_PACKAGES = (
    "konsole kmail kdenlive-data digikam-data akregator kate5-data kate okular umbrello kile "
    "lokalize parley korganizer konqueror kmymoney-common skrooge-common k3b-data kdevelop-data "
    "ktouch-data ktorrent-data khelpcenter calligraplan calligra-data step kstars-data"
)
_CATALOGUE_PACKAGES = (
    "git gnucash-common gimp-data evolution-common freeciv-data binutils-common gcc-12-locales "
    "coreutils inkscape " + _KDE_PACKAGES
)
_CAMPAIGNS = "did dm dw ei httt l low nr sof sota sotbe thot trow tsg ttb utbs"
# The main package and one per campaign, which holds the campaign's dialogue.
_WESNOTH_PACKAGES = "wesnoth-1.16-data " + " ".join(
    f"wesnoth-1.16-{campaign}" for campaign in _CAMPAIGNS.split()
)

# fmt: off
ROWS: tuple[Row, ...] = (
    # --- natural languages -------------------------------------------------------------------
    *_prose("manpages", f"manpages manpages-dev git-man {_MAN_PACKAGES}",
            "usr/share/man/man*", "man", "mixed: GPL-2+, BSD, verbatim", only=("en",)),
    *_prose("manpages", f"manpages-{{}} manpages-{{}}-dev {_MAN_PACKAGES}",
            "usr/share/man/{}/man*", "man", "mixed: GPL-3+, GPL-2+, BSD", only=LANGUAGES[1:]),
    *_prose("libreoffice-help", "libreoffice-help-{}", "usr/share/libreoffice/help/{}/*.html",
            "html", "MPL-2.0", only=LANGUAGES[1:]),
    *_prose("libreoffice-help", "libreoffice-help-en-us",
            "usr/share/libreoffice/help/en-US/*.html", "html", "MPL-2.0", only=("en",)),
    *_prose("debian-reference", "debian-reference-{}", "*.{}.html", "html", "GPL-2+"),
    *_prose("maint-guide", "maint-guide-{}", "*.{}.html", "html", "GPL-2+",
            only=LANGUAGES[1:]),
    *_prose("maint-guide", "maint-guide", "*.en.html", "html", "GPL-2+", only=("en",)),
    *_prose("debian-faq", "debian-faq-{}", "*.{}.html", "html", "GPL-2+", only=("fr", "de", "it")),
    *_prose("debian-faq", "debian-faq", "*.en.html", "html", "GPL-2+", only=("en",)),
    *_prose("developers-reference", "developers-reference-{}", "*/{}/*.html", "html", "GPL-2+",
            only=("fr", "de", "it")),
    *_prose("developers-reference", "developers-reference", "*.html", "html", "GPL-2+",
            only=("en",)),
    *_prose("aptitude-doc", "aptitude-doc-{}", "*/html/{}/*.html", "html", "GPL-2+",
            only=("en", "fr", "es", "it")),
    *_prose("debian-edu-doc", "debian-edu-doc-{}", "*.html", "html", "GPL-2+"),
    *_prose("installation-guide", "installation-guide-amd64", "*/{}/*.html", "html", "GPL-2"),
    *_prose("debian-handbook", "debian-handbook", "*/html/{}-*/*.html", "html",
            "GPL-2+ or CC-BY-SA-3.0"),
    *_prose("apache-manual", "apache2-doc", "*/manual/{}/*.html", "html", "Apache-2.0",
            only=LANGUAGES[:4]),
    *_prose("lilypond-doc", "lilypond-doc-html-{}", "*.{}.html !*-big-page*", "html", "GFDL-1.3+",
            only=LANGUAGES[1:]),
    *_prose("lilypond-doc", "lilypond-doc-html", "*/Documentation/*.html !*-big-page*", "html",
            "GFDL-1.3+", only=("en",)),
    *_prose("gimp-help", "gimp-help-{}", "*/help/{}/*.html", "html", "GFDL-1.2+"),
    *_prose("gnome-user-docs", "gnome-user-docs", "usr/share/help/{}/*.page", "docbook",
            "CC-BY-SA-3.0", english="C"),
    *_prose("mate-user-guide", "mate-user-guide",
            "usr/share/help/{}/*.xml usr/share/help/{}/*.docbook", "docbook", "GFDL-1.1+",
            english="C"),
    *_prose("kde-handbooks", _KDE_PACKAGES, "usr/share/doc/HTML/{}/*.docbook", "docbook",
            "GFDL-1.2+, GPL, LGPL"),
    *_prose("wesnoth", _WESNOTH_PACKAGES, "*/locale/{}/LC_MESSAGES/*.mo", "messages", "GPL-2+",
            only=LANGUAGES[1:]),
    *_prose("wesnoth", _WESNOTH_PACKAGES, "*/locale/de/LC_MESSAGES/*.mo", "messages_source",
            "GPL-2+", only=("en",)),
    *_prose("catalogues", _CATALOGUE_PACKAGES, "usr/share/locale/{}/LC_MESSAGES/*.mo",
            "messages", "mixed: GPL-2+, LGPL-2+, GPL-3+", only=LANGUAGES[1:]),
    *_prose("catalogues", _CATALOGUE_PACKAGES, "usr/share/locale/de/LC_MESSAGES/*.mo",
            "messages_source", "mixed: GPL-2+, LGPL-2+, GPL-3+", only=("en",)),
    *_prose("janeaustenr", "r-cran-janeaustenr", "*/data/*.rdb", "novels",
            "MIT (text: public domain)", only=("en",)),
    # --- code --------------------------------------------------------------------------------
    Row("cpython", "python", "stdlib", ("stdlib",), ("*.py", "!test/*", "!*/test/*", "!*/tests/*",
        "!site-packages/*", "!*/idle_test/*", "!encodings/*", "!pydoc_data/*"), "code", "PSF-2.0"),
    *_code("python", "pypi", ("*.py", "!*/_vendor/*", "!*/locale/*"), """
        django==5.2.19: BSD-3-Clause
        sympy==1.14.0: BSD-3-Clause
        sqlalchemy==2.1.9: MIT
        scikit-learn==1.9.1: BSD-3-Clause
        networkx==3.6.1: BSD-3-Clause
        pandas==3.1.1: BSD-3-Clause
        statsmodels==0.15.0: BSD-3-Clause
        scipy==1.17.1: BSD-3-Clause
        scikit-image==0.26.0: BSD-3-Clause
        twisted==26.10.0: MIT
        mypy==2.4.1: MIT
        bokeh==3.9.2: BSD-3-Clause
        sphinx==9.0.4: BSD-2-Clause
        docutils==0.23: public domain, BSD-2-Clause
        pip==26.3: MIT
        setuptools==84.2.1: MIT
        pytest==9.2.0: MIT
        tornado==6.6.1: Apache-2.0
        aiohttp==3.14.5: Apache-2.0
        werkzeug==3.1.9: BSD-3-Clause
        rich==15.0.0: MIT
        black==26.10.1: MIT
        jinja2==3.1.6: BSD-3-Clause
        flask==3.1.3: BSD-3-Clause
        requests==2.34.2: Apache-2.0
        click==8.5.1: BSD-3-Clause"""),
    *_code("c", "deb-src", ("*.c", "*.h"), """
        sqlite3: public domain
        lua5.4: MIT
        zlib: Zlib
        redis: BSD-3-Clause
        curl: curl (MIT-like)
        musl: MIT
        nginx: BSD-2-Clause
        jq: MIT
        libuv1: MIT
        tmux: ISC
        libevent: BSD-3-Clause
        libpng1.6: libpng-2.0
        libjpeg-turbo: BSD-3-Clause, IJG, Zlib"""),
    *_code("javascript", "npm", ("package/*.js", "package/*.mjs", "package/*.cjs",
                                 "!*.min.*", "!*/node_modules/*", "!*.prod.*",
                                 "!*/generated/*"), """
        lodash@4.18.1: MIT
        express@5.3.0: MIT
        jquery@4.0.0: MIT
        moment@2.31.0: MIT
        underscore@1.13.8: MIT
        async@3.2.6: MIT
        acorn@8.19.0: MIT
        esprima@4.0.1: BSD-2-Clause
        eslint@10.15.0: MIT
        webpack@5.112.2: MIT
        codemirror@5.65.21: MIT
        ramda@0.32.0: MIT
        handlebars@4.7.10: MIT
        mocha@12.0.3: MIT
        yargs@18.2.0: MIT
        ajv@8.20.0: MIT
        jsdom@29.1.1: MIT
        mongoose@9.12.1: MIT
        postcss@8.5.33: MIT
        uglify-js@3.19.3: BSD-2-Clause
        highlight.js@11.12.0: BSD-3-Clause
        backbone@1.6.1: MIT
        knockout@3.5.3: MIT
        mithril@2.3.8: MIT
        ol@10.11.0: BSD-2-Clause
        sequelize@6.37.8: MIT
        svgo@4.1.0: MIT
        bluebird@3.7.2: MIT
        socket.io@4.8.4: MIT
        knex@3.3.0: MIT
        pug@3.0.4: MIT
        stylelint@17.16.0: MIT
        vue@3.5.45: MIT
        react@19.3.1: MIT
        react-dom@19.3.1: MIT
        chart.js@4.6.1: MIT"""),
    *_code("javascript", "npm", ("package/src/*.js", "!*.min.*"), """
        three@0.187.0: MIT
        leaflet@1.9.4: BSD-2-Clause
        luxon@3.7.2: MIT
        preact@11.2.0: MIT
        svelte@5.57.3: MIT"""),
    *_code("javascript", "npm", ("package/dist/esm/*.js",), "rxjs@7.8.2: Apache-2.0"),
    *_code("javascript", "npm", ("package/lib/esm/*.js",), "mathjs@15.2.0: Apache-2.0"),
    *_code("html", "deb", ("*.html", "*.htm", "!*/genindex*", "!*/_static/*", "!*/search.html"), """
        python3.11-doc: PSF-2.0
        postgresql-doc-15: PostgreSQL
        sqlite3-doc: public domain
        libboost1.74-doc: BSL-1.0
        cmake-doc: BSD-3-Clause
        postfix-doc: IPL-1.0 / EPL-2.0
        exim4-doc-html: GPL-2+
        ntpsec-doc: NTP, BSD-2-Clause
        r-doc-html: GPL-2+
        haproxy-doc: GPL-2+
        privoxy: GPL-2+"""),
)
# fmt: on
