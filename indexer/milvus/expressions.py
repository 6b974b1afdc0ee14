"""A catalog's condition as a filter expression of Milvus, as far as Milvus can tell.

The expression holds wherever the condition does, and maybe elsewhere: the catalog looks at what Milvus finds. So what
is not known here, such as a pattern's classes of characters, what is negated and what tags say, is left to the catalog.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import sqlglot
from sqlglot import exp

# The facts that Milvus holds beside a vector, each with the catalog's SQL for it: numbers, and texts.
NUMBERS = {name: f"items.{name}" for name in ("day", "width", "height", "latitude", "longitude")}
TEXTS = {name: f"items.{name}" for name in ("camera", "city", "country", "colour")} | {"folder": "folders.path"}
# those in small letters are compared without their case, ASCII's as the catalog does it
FOLDED = {"lens": "lower(items.lens)", "path": "lower(folders.path || '/' || files.name)"}

# Answers of a condition's own question, such as the cameras of a name, that are told to Milvus.
MOST_ANSWERS = 1000

# A node of a condition's tree, whose base class is called otherwise from version to version.
Node = Any

COMPARED: dict[Node, str] = {exp.EQ: "==", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<="}

# What a degree of latitude is long, in kilometres, at least.
DEGREE_KM = 110.5

SMALL = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def expression(sql: str, values: Sequence[Any], ask: Callable[[str, Sequence[Any]], Sequence[Any]]) -> str:
    """What Milvus can tell of a condition over `items`, `files` and `folders`; "" for nothing.

    `ask` answers a question of the catalog's: the values in the first column of its rows.
    """
    places = count()
    named = re.sub(r"\?", lambda _: f":p{next(places)}", sql)
    return _Condition(values, ask).told(sqlglot.parse_one(named, dialect="sqlite")) or ""


class _Condition:
    """Nodes of one condition's tree as expressions, None where Milvus cannot tell."""

    def __init__(self, values: Sequence[Any], ask: Callable[[str, Sequence[Any]], Sequence[Any]]) -> None:
        self._values, self._ask = values, ask

    def told(self, node: Node) -> str | None:
        match node:
            case exp.Paren() | exp.Escape():
                return self.told(node.this)
            case exp.And():
                left, right = self.told(node.left), self.told(node.right)
                return f"({left}) and ({right})" if left and right else left or right
            case exp.Or():
                left, right = self.told(node.left), self.told(node.right)
                return f"({left}) or ({right})" if left and right else None
            case exp.Between():
                low, high = exp.GTE(this=node.this, expression=node.args["low"]), node.args["high"]
                return self.told(exp.And(this=low, expression=exp.LTE(this=node.this.copy(), expression=high)))
            case exp.LTE(this=exp.Anonymous()) if node.this.name.lower() == "kilometres":
                return self._around(*map(self._value, (*node.this.expressions[2:], node.expression)))
            case exp.Like() | exp.Glob():
                return self._like(node)
            case exp.In() if node.args.get("query"):
                return self._among(_field(node.this), node.args["query"].this)
        return self._compared(node) if type(node) in COMPARED else None

    def _value(self, node: Node) -> Any:
        return self._values[int(node.name[1:])]

    def _compared(self, node: Node) -> str | None:
        field = _field(node.this)
        if field is None:
            return None
        if isinstance(node.expression, exp.Placeholder):
            if field in FOLDED and not isinstance(node, exp.EQ):
                return None  # the order of what is folded is another
            return f"{field} {COMPARED[type(node)]} {_literal(field, self._value(node.expression))}"
        other = _field(node.expression)
        is_of_numbers = field in NUMBERS and other in NUMBERS
        return f"{field} {COMPARED[type(node)]} {other}" if is_of_numbers else None

    def _like(self, node: Node) -> str | None:
        """A pattern of which only "%" is left, for all that is not plain: what stands for one character, too."""
        pattern = str(self._value(node.expression))
        if isinstance(node, exp.Glob):
            plain = re.sub(r"\*|\?|\[\^?\]?[^\]]*\]|\[", "%", pattern)
        else:  # "!" says that what follows is meant as it is
            plain = re.sub("!(.)", lambda match: match[1] if match[1] == "!" else "%", pattern)
        plain = re.sub(r'[%_"\\\0]+', "%", plain).translate(SMALL)
        is_name = isinstance(node.this, exp.Column) and node.this.name == "name"
        field = "path" if is_name else _field(node.this)
        plain = re.sub("%+", "%", f"%/{plain}" if is_name else plain)
        return f'{field} like "{plain}"' if field in FOLDED and plain not in ("%", "%/%") else None

    def _among(self, field: str | None, query: Node) -> str | None:
        if field not in TEXTS:
            return None
        sql = query.sql(dialect="sqlite")
        values = [self._values[int(place)] for place in re.findall(r":p(\d+)", sql)]
        sql = re.sub(r":p\d+", "?", sql)
        answers = self._ask(f"SELECT * FROM ({sql}) AS answers LIMIT ?", (*values, MOST_ANSWERS + 1))
        if not 0 < len(answers) <= MOST_ANSWERS:
            return None
        return f"{field} in [{', '.join(_literal(field, answer) for answer in answers)}]"

    def _around(self, latitude: float, longitude: float, kilometres: float) -> str:
        """The box around a circle on the globe; where it reaches a pole or the date line, its latitudes alone."""
        high = kilometres / DEGREE_KM
        box = f"latitude >= {latitude - high!r} and latitude <= {latitude + high!r}"
        if abs(latitude) + high >= 89:
            return box
        wide = high / math.cos(math.radians(abs(latitude) + high))
        if abs(longitude) + wide >= 180:
            return box
        return f"{box} and longitude >= {longitude - wide!r} and longitude <= {longitude + wide!r}"


def _field(node: Node) -> str | None:
    """The field that holds what a term of SQL means."""
    if isinstance(node, exp.JSONExtract | exp.JSONExtractScalar):
        name = str(node.expression.expressions[-1].this)
    elif isinstance(node, exp.DPipe):
        name = "path" if node.sql(dialect="sqlite") == "folders.path || '/' || files.name" else ""
    elif isinstance(node, exp.Column):
        name = "folder" if node.name == "path" else node.name
    else:
        name = ""
    return name if name in NUMBERS or name in TEXTS or name in FOLDED else None


def _literal(field: str, value: Any) -> str:
    if field in NUMBERS:
        return repr(float(value))
    told = str(value).replace("\0", "")
    return json.dumps(told.translate(SMALL) if field in FOLDED else told, ensure_ascii=False)
