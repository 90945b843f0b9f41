"""Alphanumeric stand-ins carry merge fields unharmed through lxml and premailer, which both damage `{{ }}`, and back into nodes.

A small HTML lexer knows at each field whether it stands in text, in an attribute, in a link or in CSS: that fixes its context, and
refuses the places where no escaping makes a member's value safe.
"""

import re
from dataclasses import replace
from hashlib import blake2b
from html import escape

from kairan.i18n import gettext as _
from mailer.compose.expressions import Condition, text_reader
from mailer.compose.findings import MergeError
from mailer.compose.merge import as_liquid
from mailer.compose.nodes import Choice, Context, Node, Nodes, Output, OwnUrl, Text, joined
from mailer.compose.program import clean, written
from mailer.compose.recipient import Recipient

URL_ATTRIBUTES = frozenset({"href", "src", "background", "poster", "cite", "longdesc", "action", "formaction", "xlink:href"})
_CODE = frozenset({"style", "srcset", "sizes", "media", "http-equiv"})
_RAW = frozenset({"style", "script", "title", "textarea", "xmp", "noscript", "iframe", "noembed", "noframes"})
_TAG_NAME = re.compile(r"<([a-zA-Z][^\s/>]*)")
_IN_TAG = re.compile(r"[>=]")
_ATTRIBUTE = re.compile(r"([^\s\"'<>/=]+)\s*$")
_UNQUOTED_END = re.compile(r"[\s>]")
# A member's value may only come after the host, or after the `?` of a mailto: (PRODUCT.md: path or query).
_BEFORE_VALUE = re.compile(r"\s*(?:https?://[^/?#\s]+[/?#]|mailto:[^?\s]*\?|#)", re.IGNORECASE)
_NOBODY = Recipient(0, 0, "", "", "", "", {})


def as_source(node: Node) -> str:
    if isinstance(node, Output):
        return as_liquid(node.value)
    if isinstance(node, OwnUrl):
        return "{{ " + node.name + " }}"
    return node.text if isinstance(node, Text) else ""


def constant_text(output: Output) -> str | None:
    """What the output says where no member decides it, else None."""
    return text_reader(output.value)(_NOBODY) if output.value.field is None else None


class StandIns:
    """The stand-ins of one page: made on the way in, read on the way out."""

    def __init__(self, source: str) -> None:
        self.prefix = _unused_prefix(source)
        self._nodes: list[Nodes] = []
        self._choices: list[tuple[Condition, ...]] = []
        self._pattern = re.compile(rf"(?:<!--)?{self.prefix}([A-Z])(\d+)(?:x(\d+))?z(?:-->)?")
        self.marker = re.compile(rf"{self.prefix}([BEF])(\d+)(?:x(\d+))?z")

    def hold(self, nodes: Nodes) -> str:
        """A stand-in for any nodes, for text or an attribute's value."""
        self._nodes.append(nodes)
        return f"{self.prefix}N{len(self._nodes) - 1}z"

    def choice(self, choice: Choice, written_branches: list[str], *, comments: bool) -> str:
        """A conditional as markers around its branches, its last one the `otherwise`."""
        self._choices.append(tuple(condition for condition, _branch in choice.branches))
        number = len(self._choices) - 1
        marks = [f"{self.prefix}B{number}z"]
        marks += [f"{self.prefix}E{number}x{branch}z" for branch in range(1, len(written_branches))]
        marks = [f"<!--{mark}-->" if comments else mark for mark in [*marks, f"{self.prefix}F{number}z"]]
        return "".join(mark + branch for mark, branch in zip(marks, [*written_branches, ""], strict=True))

    def nodes(self, text: str, *, plain: bool = False) -> Nodes:
        """The finished text as nodes again. `plain`: values that stood in HTML now stand in text."""
        stack: list[tuple[list[Nodes], list[Node]]] = [([], [])]
        position = 0
        for match in self._pattern.finditer(text):
            stack[-1][1].append(Text(text[position : match.start()]))
            position = match.end()
            self._take(match, stack, plain)
        stack[-1][1].append(Text(text[position:]))
        return joined(stack[0][1])

    def held(self, text: str) -> list[Nodes]:
        """What the stand-ins in a text stand for, markers of conditions left out."""
        return [self._nodes[int(match[2])] for match in self._pattern.finditer(text) if match[1] == "N"]

    def choices_missing(self, text: str) -> bool:
        """Whether the markers of any conditional were lost, doubled or put out of order on the way."""
        found: list[str] = []
        open_choices: list[str] = []
        for match in self.marker.finditer(text):
            kind, number = match[1], match[2]
            if kind == "B":
                found.append(number)
                open_choices.append(number)
            elif not open_choices or open_choices[-1] != number:
                return True
            elif kind == "F":
                open_choices.pop()
        return bool(open_choices) or len(found) != len(set(found))

    def has(self, text: str) -> bool:
        return self.prefix in text

    def without(self, text: str) -> str:
        return self._pattern.sub("", text)

    def source(self, text: str) -> str:
        """The text as its author wrote it: stand-ins as Liquid again. Conditions inside are left out, their branches stay."""
        return self._pattern.sub(self._written, text)

    def _written(self, match: "re.Match[str]") -> str:
        if match[1] != "N":
            return ""
        return "".join(as_source(node) for node in self._nodes[int(match[2])])

    def _take(self, match: "re.Match[str]", stack: list[tuple[list[Nodes], list[Node]]], plain: bool) -> None:
        kind, number = match[1], int(match[2])
        if kind == "N":
            held = self._nodes[number]
            stack[-1][1].extend(_as_plain(held) if plain else held)
        elif kind == "B":
            stack.append(([], []))
        elif kind == "E":
            branches, current = stack[-1]
            branches.append(joined(current))
            stack[-1] = (branches, [])
        elif len(stack) > 1:
            branches, current = stack.pop()
            branches.append(joined(current))
            conditions = self._choices[number]
            stack[-1][1].append(Choice(tuple(zip(conditions, branches[:-1], strict=True)), branches[-1]))


def _as_plain(nodes: Nodes) -> Nodes:
    return tuple(_plain(node) for node in nodes)


def _plain(node: Node) -> Node:
    if isinstance(node, Output) and node.context == "html":
        return replace(node, context="text")
    if isinstance(node, Choice):
        return Choice(tuple((condition, _as_plain(branch)) for condition, branch in node.branches), _as_plain(node.otherwise))
    return node


class Lexer:
    """Reads HTML in pieces and knows where it is: `text`, `comment`, `tag`, `value`, `raw` or `end` (an end tag or declaration)."""

    def __init__(self) -> None:
        self.state = "text"
        self.tag = ""
        self.attribute = ""
        self.quote = ""
        self.value = ""
        self.tail = ""

    @property
    def place(self) -> tuple[str, ...]:
        """Two equal places need the same escaping."""
        return (self.state, self.tag, self.attribute, self.quote) if self.state in ("tag", "value", "raw") else (self.state,)

    def feed(self, text: str) -> None:
        position = 0
        while position < len(text):
            position = getattr(self, f"_{self.state}")(text, position)
        self.tail = (self.tail + text)[-8:]

    def stand_in(self, text: str) -> None:
        """A stand-in was written here: it is letters and digits, so the state stays."""
        self.value += text
        self.tail = "x"

    def _text(self, text: str, position: int) -> int:
        start = text.find("<", position)
        if start < 0:
            return len(text)
        if text.startswith("<!--", start):
            self.state = "comment"
            # `<!-->` is a whole comment.
            return start + 2
        opening = _TAG_NAME.match(text, start)
        if opening:
            self.state, self.tag = "tag", opening[1].lower()
            return opening.end()
        if text.startswith(("</", "<!", "<?"), start):
            self.state = "end"
        return start + 1

    def _comment(self, text: str, position: int) -> int:
        end = text.find("-->", position)
        if end < 0:
            return len(text)
        self.state = "text"
        return end + 3

    def _end(self, text: str, position: int) -> int:
        end = text.find(">", position)
        if end < 0:
            return len(text)
        self.state = "text"
        return end + 1

    def _tag(self, text: str, position: int) -> int:
        found = _IN_TAG.search(text, position)
        if not found:
            return len(text)
        if found.group() == ">":
            self.state = "raw" if self.tag in _RAW else "text"
            return found.end()
        name = _ATTRIBUTE.search(text[max(0, found.start() - 80) : found.start()])
        self.state, self.attribute, self.value, self.quote = "value", name[1].lower() if name else "", "", ""
        after = found.end()
        while after < len(text) and text[after].isspace():
            after += 1
        if after < len(text) and text[after] in "\"'":
            self.quote = text[after]
            after += 1
        return after

    def _value(self, text: str, position: int) -> int:
        ending = text.find(self.quote, position) if self.quote else _position(_UNQUOTED_END.search(text, position))
        self.value += text[position:] if ending < 0 else text[position:ending]
        if ending < 0:
            return len(text)
        self.state = "tag"
        return ending + 1 if self.quote else ending

    def _raw(self, text: str, position: int) -> int:
        end = re.compile(rf"</{re.escape(self.tag)}", re.IGNORECASE).search(text, position)
        if not end:
            return len(text)
        self.state = "end"
        return end.end()


class Writer:
    """Writes a page's nodes as HTML with stand-ins. Raises MergeError where a field must not stand."""

    def __init__(self, standins: StandIns, where: str) -> None:
        self.standins = standins
        self.where = where
        self.lexer = Lexer()

    def html(self, nodes: Nodes) -> str:
        return "".join(self._node(node) for node in nodes)

    def _node(self, node: Node) -> str:
        if isinstance(node, Text):
            self.lexer.feed(node.text)
            return node.text
        if isinstance(node, Choice):
            return self._choice(node)
        if not isinstance(node, Output | OwnUrl):
            raise TypeError(f"{node!r} is no node of a page")
        name = node.name if isinstance(node, OwnUrl) else as_liquid(node.value).strip("{} ")
        self._must_be_content(name)
        text = self._own(node) if isinstance(node, OwnUrl) else self._output(node, name)
        self.lexer.stand_in(text)
        return text

    def _output(self, node: Output, name: str) -> str:
        in_link = self.lexer.state == "value" and self.lexer.attribute in URL_ATTRIBUTES
        after_host = in_link and is_after_host(self.lexer.value, self.standins)
        context: Context = "url" if in_link else "html"
        constant = constant_text(node)
        if constant is not None:
            return escape(clean(constant)) if in_link and not after_host else written(context, constant)
        if in_link and not after_host:
            message = _("`%(name)s` may stand in a link only after the host, in its path or query.", name=name)
            raise self._error("field_in_address", message, name)
        return self.standins.hold((Output(context, node.value),))

    def _own(self, node: OwnUrl) -> str:
        lexer = self.lexer
        if lexer.state == "value" and lexer.attribute in URL_ATTRIBUTES and (lexer.attribute != "href" or lexer.value.strip()):
            message = _("`%(name)s` must be the whole address of a link: it opens the member's own choices.", name=node.name)
            raise self._error("own_address", message, node.name)
        return self.standins.hold((node,))

    def _choice(self, choice: Choice) -> str:
        lexer = self.lexer
        in_link = lexer.state == "value" and lexer.attribute in URL_ATTRIBUTES
        if in_link or self._is_broken_place():
            message = _("A condition must go around whole elements, or be inside an attribute other than a link.")
            raise self._error("condition_place", message)
        before = lexer.place
        comments = before[0] == "text"
        branches = []
        for branch in [branch for _condition, branch in choice.branches] + [choice.otherwise]:
            branches.append(self.html(branch))
            if lexer.place != before:
                raise self._error("condition_place", _("A condition must begin and end outside of the same tag."))
        return self.standins.choice(choice, branches, comments=comments)

    def _must_be_content(self, name: str) -> None:
        if self._is_broken_place():
            message = _("`%(name)s` can stand in text and in attributes, not inside a tag or in CSS.", name=name)
            raise self._error("field_place", message, name)

    def _is_broken_place(self) -> bool:
        lexer = self.lexer
        if lexer.state in ("tag", "end"):
            return True
        if lexer.state == "text":
            return lexer.tail.endswith(("<", "</", "<!", "<!-", "&", "&#"))
        if lexer.state == "raw":
            return lexer.tag not in ("title", "textarea")
        return lexer.state == "value" and (lexer.attribute in _CODE or lexer.attribute.startswith("on"))

    def _error(self, rule: str, message: str, name: str = "") -> MergeError:
        return MergeError(rule, message, self.where, field=name)


def is_after_host(url: str, standins: StandIns) -> bool:
    """Whether what follows this beginning of an address cannot change where it leads."""
    return bool(_BEFORE_VALUE.match(url)) or standins.has(url[:40])


def written_constants(nodes: Nodes) -> Nodes:
    """The nodes with what no member decides written out, escaped for its place."""
    return joined(_written_constant(node) for node in nodes)


def _written_constant(node: Node) -> Node:
    if isinstance(node, Output):
        constant = constant_text(node)
        return node if constant is None else Text(written(node.context, constant))
    if isinstance(node, Choice):
        branches = tuple((condition, written_constants(branch)) for condition, branch in node.branches)
        return Choice(branches, written_constants(node.otherwise))
    return node


def _unused_prefix(source: str) -> str:
    """Letters and digits that the source does not hold, the same each time it is compiled."""
    salt = 0
    while True:
        prefix = "k" + blake2b(f"{salt}:{source}".encode(errors="replace"), digest_size=6).hexdigest() + "q"
        if prefix not in source.lower():
            return prefix
        salt += 1


def _position(match: "re.Match[str] | None") -> int:
    return match.start() if match else -1
