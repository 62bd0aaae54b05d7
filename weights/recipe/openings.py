# SPDX-License-Identifier: Apache-2.0
"""Forty openings, whose last word is withheld: what the third version is asked to go on with.

Written for this project and fixed before its training began, without a look at what any model
makes of them.  Everyday sentences whose last word most readers would guess, seven in each of five
languages, and five of code.  None of them stands in the training text (`unseen.py`).
"""

from __future__ import annotations

from typing import NamedTuple


class Opening(NamedTuple):
    """A label of the nine, a text without its last word, that word, what stands between them."""

    label: str
    text: str
    word: str
    between: str = " "

    @property
    def whole(self) -> str:
        """The text with its word."""
        return self.text + self.between + self.word


def _in(label: str, *rows: tuple[str, str]) -> tuple[Opening, ...]:
    return tuple(Opening(label, *row) for row in rows)


OPENINGS: tuple[Opening, ...] = (
    *_in(
        "en",
        ("My grandmother's stories always began with once upon a", "time"),
        ("After the long walk home she was so tired that she went straight to", "bed"),
        ("The two brothers sat down at the table and looked at each", "other"),
        ("He said nothing at all, he only shook his", "head"),
        ("It was raining when we left the house, so we took an umbrella with", "us"),
        ("I had never seen anything like it in my whole", "life"),
        ("The baby is asleep, so please close the", "door"),
    ),
    *_in(
        "fr",
        ("Les histoires de ma grand-mère commençaient toujours par il était une", "fois"),
        ("Après cette longue marche, elle avait mal aux", "pieds"),
        ("Les deux frères se sont assis à table et se sont regardés dans les", "yeux"),
        ("Nous avons couru jusqu'à la gare, mais nous sommes arrivés trop", "tard"),
        ("Le bébé dort, alors s'il te plaît, ferme la", "porte"),
        ("De toute ma vie je n'avais jamais vu une chose", "pareille"),
        ("Ce matin-là il faisait si froid que personne ne voulait sortir de la", "maison"),
    ),
    *_in(
        "de",
        ("Die Geschichten meiner Großmutter begannen immer mit es war", "einmal"),
        ("Er sagte kein Wort, sondern schüttelte nur den", "Kopf"),
        ("Nach dem langen Tag war sie müde und wollte nur noch nach", "Hause"),
        ("Das Kind schläft schon, also mach bitte leise die Tür", "zu"),
        ("So etwas hatte ich in meinem ganzen Leben noch nie", "gesehen"),
        ("Die beiden Brüder setzten sich an den Tisch und sahen sich in die", "Augen"),
        ("Wir rannten zum Bahnhof, aber wir kamen leider zu", "spät"),
    ),
    *_in(
        "es",
        ("Los cuentos de mi abuela empezaban siempre con había una", "vez"),
        ("Los dos hermanos se sentaron a la mesa y se miraron a los", "ojos"),
        ("Estaba tan cansada que se marchó sin decir ni una sola", "palabra"),
        ("El niño está durmiendo, así que cierra la", "puerta"),
        ("Nunca había visto una cosa así en toda mi", "vida"),
        ("Corrimos hasta la estación, pero llegamos demasiado", "tarde"),
        ("Hacía tanto frío que aquella mañana nadie quiso salir de", "casa"),
    ),
    *_in(
        "it",
        ("Le storie di mia nonna cominciavano sempre con c'era una", "volta"),
        ("Non disse niente, scosse soltanto la", "testa"),
        ("I due fratelli si sedettero a tavola e si guardarono negli", "occhi"),
        ("Era così stanca che se ne andò senza dire una", "parola"),
        ("Il bambino dorme, quindi chiudi piano la", "porta"),
        ("Non avevo mai visto una cosa simile in tutta la mia", "vita"),
        ("Siamo corsi alla stazione, ma siamo arrivati troppo", "tardi"),
    ),
    Opening("python", "def area(width, height):\n    return width *", "height"),
    Opening("python", "for guest in guests:\n    print(", "guest", ""),
    Opening("c", "int twice(int apples)\n{\n    return 2 *", "apples"),
    Opening("javascript", "const names = people.map(function (person) {\n  return", "person"),
    Opening("html", "<ul>\n  <li>Bread</li>\n  <li>Milk</li>\n</", "ul", ""),
)
