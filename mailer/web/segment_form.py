"""The builder of a segment: a rule as fields of a form, so that it is written without JavaScript and nothing typed is lost.

Each part of the rule has a key that says where it stands: `r` the outermost group, `r-0` its first part, `r-0-2` the third part of that.
Hidden fields `part` name the parts there are; `kind-KEY` is a group's all, any or none, `field-KEY`, `op-KEY`, `value-KEY` and `to-KEY`
are a rule's. A button's `do` is `add KEY`, `group KEY` or `remove KEY`; any other draws the form again.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from werkzeug.datastructures import MultiDict

from mailer.audience import rules
from mailer.audience.rules import OPERATORS, Fault, Group, Leaf

ROOT = "r"
_KEY = re.compile(r"r(-\d{1,3}){0,6}")
_LINES = re.compile(r"[\r\n]+")


@dataclass(slots=True)
class Row:
    """A rule as it was typed, right or not."""

    field: str = ""
    op: str = ""
    value: str = ""
    to: str = ""
    """the second number of “between”"""
    key: str = ""

    @property
    def shape(self) -> str:
        """Which input the value has: the name of a rules.Shape, or a field that has a choice of its own."""
        if self.op not in OPERATORS:
            return "nothing"
        name = OPERATORS[self.op].name
        return self.field if name in ("text", "id") and self.field in CHOSEN else name


CHOSEN = (*rules.CHOICES, "list", "consent", "received")
"""fields whose value is chosen from a list"""


@dataclass(slots=True)
class Box:
    """A group as it was typed."""

    kind: str = "all"
    parts: "list[Box | Row]" = field(default_factory=list)
    key: str = ROOT

    @property
    def depth(self) -> int:
        return self.key.count("-")

    @property
    def may_nest(self) -> bool:
        return self.depth + 1 < rules.DEPTH_MAX


def new() -> Box:
    return numbered(Box(parts=[Row()]))


def of_rule(part: Group) -> Box:
    return numbered(_box(part))


def _box(part: Group) -> Box:
    return Box(part.kind, [_box(each) if isinstance(each, Group) else _row(each) for each in part.parts])


def _row(leaf: Leaf) -> Row:
    value = rules.document(leaf).get("value")
    if isinstance(value, list) and OPERATORS[leaf.op].name == "numbers":
        return Row(leaf.field, leaf.op, str(value[0]), str(value[1]))
    return Row(leaf.field, leaf.op, "\n".join(value) if isinstance(value, list) else "" if value is None else str(value))


def numbered(box: Box, key: str = ROOT) -> Box:
    """Keys anew, from the place of each part."""
    box.key = key
    for at, part in enumerate(box.parts):
        if isinstance(part, Box):
            numbered(part, f"{key}-{at}")
        else:
            part.key = f"{key}-{at}"
    return box


def read(posted: "MultiDict[str, str]") -> Box:
    """What the form holds, after the act of its button."""
    keys = [key for key in dict.fromkeys(posted.getlist("part")) if _KEY.fullmatch(key)][: rules.PARTS_MAX]
    root = Box(_kind(posted, ROOT))
    boxes = {ROOT: root}
    for key in keys:
        parent = boxes.get(key.rpartition("-")[0])
        if parent is None:
            continue  # the outermost one, or a key that somebody made up
        part = Box(_kind(posted, key), key=key) if f"kind-{key}" in posted else _typed(posted, key)
        parent.parts.append(part)
        if isinstance(part, Box):
            boxes[key] = part
    _act(boxes, posted.get("do", ""))
    return numbered(root)


def _kind(posted: Mapping[str, str], key: str) -> str:
    kind = posted.get(f"kind-{key}", "all")
    return kind if kind in rules.GROUPS else "all"


def _typed(posted: Mapping[str, str], key: str) -> Row:
    """Where another field or operator was chosen, what was typed for the one before stays only if it can still be meant."""
    row = Row(posted.get(f"field-{key}", ""), posted.get(f"op-{key}", ""), posted.get(f"value-{key}", ""), posted.get(f"to-{key}", ""), key)
    allowed = rules.operators(row.field)
    if row.op not in allowed:
        row.op = next(iter(allowed), "")
    if not _alike(posted.get(f"was-{key}") or row.shape, row.shape):
        row.value = row.to = ""
    return row


def _alike(before: str, shape: str) -> bool:
    return before == shape or any({before, shape} <= each for each in ({"text", "texts"}, {"number", "numbers"}, {"days", "campaigns"}))


def _act(boxes: Mapping[str, Box], do: str) -> None:
    act, _space, key = do.partition(" ")
    if act in ("add", "group") and key in boxes:
        boxes[key].parts.append(Row() if act == "add" else Box(parts=[Row()]))
    elif act == "remove":
        parent = boxes.get(key.rpartition("-")[0])
        if parent:
            parent.parts = [part for part in parent.parts if part.key != key]


def document(part: Box | Row) -> dict[str, Any]:
    """As rules.read takes it; what is no number stays a text, which it refuses."""
    if isinstance(part, Box):
        return {part.kind: [document(each) for each in part.parts]}
    value = _value(part)
    return {"field": part.field, "op": part.op, **({} if value is None else {"value": value})}


def _value(row: Row) -> Any:
    typed = row.value.strip()
    match OPERATORS[row.op].name if row.op in OPERATORS else "":
        case "nothing":
            return None
        case "texts":
            return [line for line in (each.strip() for each in _LINES.split(row.value)) if line]
        case "number":
            return _number(typed)
        case "numbers":
            return [_number(typed), _number(row.to.strip())]
        case "days" | "campaigns":
            return int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 10 else typed
        case _:
            return typed


def _number(typed: str) -> Any:
    for kind in (int, float):
        try:
            return kind(typed) if typed.isascii() and len(typed) < 30 else typed
        except ValueError:
            continue
    return typed


def field_of(box: Box, fault: Fault) -> str:
    """The name of the form's field that a fault speaks of."""
    here: Box | Row = box
    for at in fault.path:
        if isinstance(here, Box) and at < len(here.parts):
            here = here.parts[at]
    return f"{fault.part or 'kind'}-{here.key}" if isinstance(here, Box) or fault.part else f"field-{here.key}"


def rows(box: Box) -> Iterator[Row]:
    for part in box.parts:
        if isinstance(part, Box):
            yield from rows(part)
        else:
            yield part
