"""What a question says of photos beside what they show, read as filters: when they were taken, and of their colours.

Whoever asks is told and can take it back, by a note, or a chip on the page; within quotes it stays in the sentence.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from search.filters import Filter

# Without one of these no question speaks of photos without colours: most are answered before a pattern is compiled.
_HINTS = ("white", "b&w", "b/w", "b & w", "monochrom", "scale", "sepia", "schwarz", "blanc", "branco", "bianco")

# Words that a thing may have as its colours, those that are said of photos alone, and brown ones.
_PAIR = r"black(?:\s+and\s+|\s*-\s*and\s*-\s*|\s*[&/]\s*)white"
_SHORT = r"b\s?[&/]\s?w|gr[ae]yscale"
_SURE = rf"{_SHORT}|monochrome?s?|schwarz(?:-|\s+und\s+|/)?wei(?:ß|ss)(?:e[nrs]?)?"
_BROWN = r"sepia(?:[- ]?(?:toned|tone))?"
_ANY = rf"(?P<phrase>{_PAIR}|{_SURE}|{_BROWN})"

# "en noir et blanc" and its like in French, Spanish, Portuguese and Italian, of a photo that is named.
_ELSEWHERE = r"(?P<phrase>(?:en|em|in)\s+(?:noir\s+et\s+blanc|blanco\s+y\s+negro|preto\s+e\s+branco|bianco\s+e\s+nero))"
_PHOTO_ELSEWHERE = r"\b(?:photo|foto|image|imagen|imagem|immagine|portrait|retrato|ritratto)s?\b.*"

_PHOTO = (
    r"(?:photo(?:graph)?|picture|pic|image|portrait|snapshot|shot|foto(?:grafie)?|bild|aufnahme|porträt)(?:s|er|e?n)?\b"
)
_BEFORE = r"(?:(?:an?|the|some|any|my|our|all|old|vintage|find|show\s+me|eine?[nsmr]?|alte[nsr]?|das|die|der)\s+)*"

# What may follow a photo that is not itself in the photo, as the one "on a wall" and "frame" are.
_BEHIND = r"(?=\s*$|\s*[,.;:!?]|\s+(?:of|from|with|showing|taken|where|von|vom|mit|aus|eine[rs])\b)"

# Who may be dressed "in black and white".
_DRESSED = (
    r"\b(?:m[ae]n|wom[ae]n|boy|girl|child(?:ren)?|kid|people|person|lad(?:y|ies)|guy|baby|babies|couple|player|team|referee"
    r"|some(?:one|body)|bride|groom|dancer|nun|skater|surfer|clown|mann|männer|frau(?:en)?|kind(?:er)?|leute|menschen"
    r"|dressed|clad|wearing|painted|outfit|suit|dress|uniform|costume)s?\b"
)

_NEGATED = r"(?:\b(?:not?|without|never|nicht|keine?[nrms]?|ohne)\s+(?:in\s+)?|(?:^|\s)-\s*(?:\S+\s+)*)$"

_FORMS = (
    rf"^(?P<before>{_BEFORE}){_ANY}[\s-]*(?P<photo>(?:(?:old|vintage)\s+)?{_PHOTO}){_BEHIND}",
    rf"^(?P<photo>{_BEFORE}{_PHOTO})\s+in\s+{_ANY}(?=\s*$|\s*,|\s+(?:of|von)\b)",
    rf"\s(?:in|as|als)\s+(?:an?\s+|eine[mr]?\s+)?{_ANY}[\s-]*{_PHOTO}\s*$",
    rf"(?P<dressed>\s)in\s+{_ANY}(?=\s*$|\s*,)",
    rf"^{_BEFORE}{_ANY}\s*(?:$|,\s*)",
    rf"\s*,\s*{_ANY}\s*$",
    rf"^(?P<phrase>{_SHORT})\s|\s(?P<last>{_SHORT})\s*$",
    rf"{_PHOTO_ELSEWHERE}(?P<cut>\s{_ELSEWHERE})(?=\s*$|\s*,)",
)


class Read(NamedTuple):
    """Words of a question, and the filters that they are read as, which are alternatives."""

    said: str
    filters: tuple[Filter, ...]

    @property
    def note(self) -> str:
        """What whoever asked is told."""
        options = " ".join(f"--{filter.field} {_quoted(filter.value)}" for filter in self.filters)
        return f"{self.said!r} is read as {options}; within quotes it stays a part of the sentence"


def _quoted(value: str) -> str:
    return repr(value) if " " in value or value[:1].isdigit() else value


def read(question: str) -> tuple[str, list[Read]]:
    """A question without what was read as filters, and that; all of it where nothing would be left.

    >>> read("a black and white photo of a dog")[0], read("a black and white dog")
    ('a photo of a dog', ('a black and white dog', []))
    """
    from search.dates import in_question

    found: list[Read] = []
    rest = question.strip()
    coloured = _colour(rest)
    if coloured:
        rest, colour = coloured
        found.append(colour)
    if dated := in_question(rest):
        rest, days, said = dated
        found.append(Read(said, (Filter("on", str(days)),)))
        if coloured is None and (coloured := _colour(rest)):
            rest, colour = coloured
            found.append(colour)
    return rest, found


def _colour(question: str) -> tuple[str, Read] | None:
    """A question without the words that say it is about photos without colours, and those; None if there are none."""
    if not any(hint in question.casefold() for hint in _HINTS):
        return None
    for form in _FORMS:
        match = re.search(form, question, re.IGNORECASE)
        if match is None:
            continue
        groups = {name: value for name, value in match.groupdict().items() if value is not None}
        phrase = groups.get("phrase") or groups["last"]
        start = match.start("cut") if "cut" in groups else match.start()
        before = question[: match.start("phrase" if "phrase" in groups else "last")]
        is_pair = re.fullmatch(_PAIR, phrase, re.IGNORECASE) is not None
        is_dress = "dressed" in groups and is_pair and re.search(_DRESSED, before, re.IGNORECASE)
        if is_dress or before.count('"') % 2 or re.search(_NEGATED, before, re.IGNORECASE):
            return None
        kept = groups.get("before", "") + groups.get("photo", "")
        rest = " ".join(f"{question[:start]}{kept}{question[match.end() :]}".strip(" ,").split())
        if re.fullmatch(rf"{_BEFORE}(?:an?|the|{_PHOTO})?[.!?]?", f"{rest} ".strip(), re.IGNORECASE):
            rest = question
        is_brown = re.fullmatch(_BROWN, phrase, re.IGNORECASE) is not None
        colours = ("sepia",) if is_brown else ("black-and-white", "sepia")
        return rest, Read(" ".join(phrase.split()), tuple(Filter("colour", colour) for colour in colours))
    return None
