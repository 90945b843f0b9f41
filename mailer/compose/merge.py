"""The merge language: python-liquid parses it, and what a mail can hold of it becomes nodes; the rest is an error that says so."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import unquote

from liquid import Environment, Mode
from liquid.ast import BlockNode
from liquid.ast import Node as LiquidNode
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import filtered, logical, path, primitive
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.comment_tag import CommentNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.inline_comment_tag import InlineCommentNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.exceptions import LiquidError
from liquid.expression import Expression

from kairan.i18n import gettext as _
from mailer.compose.expressions import ARGUMENTS, MEMBER_FIELDS, Condition, Filter, Scalar, Value
from mailer.compose.findings import MergeError
from mailer.compose.nodes import DEPTH_MAX, Choice, Context, Node, Nodes, Output, OwnUrl, Text, joined

OWN_URLS = frozenset({"unsubscribe_url", "preferences_url", "view_url", "tracking_info_url"})
_ENVIRONMENT = Environment(tolerance=Mode.STRICT)
# No braces inside: a search for the end from each of 100,000 unclosed `{{` would take minutes.
_TAG = re.compile(r"\{\{[^{}]{0,1000}\}\}|\{%[^{}]{0,1000}%\}")
_ENCODED_TAG = re.compile(r"%7B%7B.{1,200}?%7D%7D", re.IGNORECASE)
_TAG_MAX = 2_000
_RAW_MAX = 20
_OPENING = re.compile(r"\{[{%]")
_RAW = re.compile(r"\{%-?\s*(?:raw|doc)\b")
_QUOTES = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "\N{NO-BREAK SPACE}": " "})
_LOOPS = frozenset({"for", "tablerow", "case", "assign", "capture", "cycle", "increment", "decrement", "liquid", "include", "render"})
_COMPARISONS: dict[type[Expression], str] = {
    logical.EqExpression: "==",
    logical.NeExpression: "!=",
    logical.LtExpression: "<",
    logical.GtExpression: ">",
    logical.LeExpression: "<=",
    logical.GeExpression: ">=",
    logical.ContainsExpression: "contains",
}


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that may be used: known attributes, constants such as `campaign.name`, and the campaign's subject, itself parsed."""

    attribute_names: frozenset[str] = frozenset()
    constants: Mapping[str, str] = field(default_factory=dict)
    subject: Nodes = ()


def parse(source: str, scope: Scope, where: str, context: Context) -> Nodes:
    """Nodes whose values stand in one context; in HTML the lexer of mailer.compose.standins gives each its own. Raises MergeError."""
    _check_closed(source, where)
    try:
        template = _ENVIRONMENT.from_string(source)
    except LiquidError as error:
        raise MergeError("syntax", _syntax_message(error, source), where, line=_line(error.token, source)) from error
    except RecursionError as error:
        raise MergeError("syntax", _("The merge fields are nested too deeply."), where) from error
    return _Reader(scope, where, context, source).nodes(template.nodes, 0)


def from_html(source: str) -> str:
    """The HTML with its merge tags as they were meant: editors write `&quot;` and `%7B%7B` into them, word processors curly quotes."""
    source = _ENCODED_TAG.sub(lambda tag: unquote(tag.group()), source)
    return _TAG.sub(lambda tag: unescape(tag.group()).translate(_QUOTES), source)


def as_liquid(value: Value) -> str:
    """The field as an author would write it."""
    name = "" if value.field is None else f"member.{value.field}"
    steps = [f"{step.name}: {', '.join(_literal(item) for item in step.arguments)}".removesuffix(": ") for step in value.filters]
    return "{{ " + " | ".join([name or _literal(value.constant), *steps]) + " }}"


class _Reader:
    def __init__(self, scope: Scope, where: str, context: Context, source: str) -> None:
        self.scope = scope
        self.where = where
        self.context = context
        self.source = source

    def nodes(self, parsed: list[LiquidNode], depth: int) -> Nodes:
        if depth >= DEPTH_MAX:
            raise MergeError("syntax", _("The conditions are nested too deeply."), self.where)
        done: list[Node] = []
        for node in parsed:
            done.extend(self._node(node, depth))
        return joined(done)

    def _node(self, node: LiquidNode, depth: int) -> Nodes:
        if isinstance(node, ContentNode):
            return (Text(node.text),)
        if isinstance(node, OutputNode):
            return self._output(node)
        if isinstance(node, IfNode | UnlessNode):
            return (self._choice(node, depth),)
        if isinstance(node, CommentNode | InlineCommentNode):
            return ()
        if isinstance(node, BlockNode):
            return self.nodes(node.nodes, depth)
        tag = str(getattr(node.token, "value", ""))
        raise self._error(node, "loop", _("`%(tag)s` cannot be in a campaign: only fields and conditions can.", tag=tag), tag)

    def _output(self, node: OutputNode) -> Nodes:
        expression = node.expression
        if not isinstance(expression, filtered.FilteredExpression):
            raise self._error(node, "syntax", _("This merge field cannot be read."))
        name = _name(expression.left)
        if name in OWN_URLS:
            if expression.filters:
                raise self._error(node, "filter", _("`%(name)s` takes no filter.", name=name), name)
            return (OwnUrl(name),)
        if name == "campaign.subject" and self.scope.subject and not expression.filters:
            return recontexted(self.scope.subject, self.context)
        return (Output(self.context, self._value(expression)),)

    def _choice(self, node: IfNode | UnlessNode, depth: int) -> Choice:
        first = self._condition(node.condition)
        if isinstance(node, UnlessNode):
            first = Condition("not", (first,))
        branches = [(first, self.nodes(node.consequence.nodes, depth + 1))]
        for alternative in node.alternatives:
            branches.append((self._condition(alternative.expression), self.nodes(alternative.block.nodes, depth + 1)))
        return Choice(tuple(branches), self.nodes(node.default.nodes, depth + 1) if node.default else ())

    def _condition(self, expression: Expression, depth: int = 0) -> Condition:
        if depth > DEPTH_MAX:
            raise self._error(expression, "syntax", _("The condition is too long."))
        if isinstance(expression, logical.BooleanExpression):
            return self._condition(expression.expression, depth)
        if isinstance(expression, logical.LogicalNotExpression):
            return Condition("not", (self._condition(expression.right, depth + 1),))
        if isinstance(expression, logical.LogicalAndExpression | logical.LogicalOrExpression):
            word = "and" if isinstance(expression, logical.LogicalAndExpression) else "or"
            return Condition(word, (self._condition(expression.left, depth + 1), self._condition(expression.right, depth + 1)))
        operator = _COMPARISONS.get(type(expression))
        if operator:
            return Condition(operator, (self._value(expression.left), self._value(expression.right)))  # type: ignore[attr-defined]
        return Condition("truthy", (self._value(expression),))

    def _value(self, expression: Expression) -> Value:
        filters: tuple[Filter, ...] = ()
        if isinstance(expression, filtered.FilteredExpression):
            filters = tuple(self._filter(step) for step in expression.filters or ())
            expression = expression.left
        known, constant = _constant(expression)
        if known:
            return Value(None, constant, filters)
        if not isinstance(expression, path.Path):
            raise self._error(expression, "syntax", _("This merge field cannot be read."))
        return self._field(expression, filters)

    def _field(self, expression: path.Path, filters: tuple[Filter, ...]) -> Value:
        name = _name(expression)
        if name in self.scope.constants:
            return Value(None, self.scope.constants[name], filters)
        head, _dot, key = name.partition(".")
        if head == "member" and key in MEMBER_FIELDS:
            return Value(key, None, filters)
        if head == "member" and key.removeprefix("attributes.") in self.scope.attribute_names:
            return Value(f"attributes.{key.removeprefix('attributes.')}", None, filters)
        raise self._error(expression, "unknown_field", _("There is no field `%(name)s`.", name=name), name)

    def _filter(self, step: filtered.Filter) -> Filter:
        if step.name not in ARGUMENTS:
            message = _("There is no filter `%(name)s`; there are: %(known)s.", name=step.name, known=", ".join(sorted(ARGUMENTS)))
            raise self._error(step, "unknown_filter", message, step.name)
        arguments: list[Scalar] = []
        for argument in step.args:
            known, constant = _constant(argument.value)
            if not known or getattr(argument, "name", None):
                message = _("The filter `%(name)s` takes a text in quotes or a number.", name=step.name)
                raise self._error(step, "filter", message, step.name)
            arguments.append(constant)
        least, most = ARGUMENTS[step.name]
        if not least <= len(arguments) <= most:
            message = _("The filter `%(name)s` has too many or too few values after it.", name=step.name)
            raise self._error(step, "filter", message, step.name)
        return Filter(step.name, tuple(arguments))

    def _error(self, node: object, rule: str, message: str, name: str = "") -> MergeError:
        return MergeError(rule, message, self.where, field=name, line=_line(getattr(node, "token", None), self.source))


def recontexted(nodes: Nodes, context: Context) -> Nodes:
    """Plain text nodes for another context: their fixed texts become constants, so that they are escaped there as well."""
    return tuple(_recontexted(node, context) for node in nodes)


def _recontexted(node: Node, context: Context) -> Node:
    if isinstance(node, Text):
        return Output(context, Value(None, node.text))
    if isinstance(node, Output):
        return Output(context, node.value)
    if isinstance(node, Choice):
        branches = tuple((condition, recontexted(branch, context)) for condition, branch in node.branches)
        return Choice(branches, recontexted(node.otherwise, context))
    return node


def _check_closed(source: str, where: str) -> None:
    """Liquid's lexer looks for the end of a tag through the whole text, from each one that has none: 8,000 took 11 s."""
    position = 0
    while (start := _next_tag(source, position)) >= 0:
        end = source.find("}}" if source[start + 1] == "{" else "%}", start + 2, start + _TAG_MAX)
        if end < 0:
            message = _("A merge field or condition is not complete: %(detail)s", detail=source[start : start + 20])
            raise MergeError("syntax", message, where, line=source.count("\n", 0, start) + 1)
        position = end + 2
    if len(_RAW.findall(source)) > _RAW_MAX:
        raise MergeError("syntax", _("The merge fields are nested too deeply."), where)


def _next_tag(source: str, position: int) -> int:
    found = _OPENING.search(source, position)
    return found.start() if found else -1


def _name(expression: object) -> str:
    if not isinstance(expression, path.Path):
        return ""
    return ".".join(str(part) for part in expression.path)


def _constant(expression: Expression) -> tuple[bool, Scalar]:
    """Whether it is a literal, and its value."""
    if isinstance(expression, primitive.TrueLiteral | primitive.FalseLiteral):
        return True, isinstance(expression, primitive.TrueLiteral)
    if isinstance(expression, primitive.StringLiteral | primitive.IntegerLiteral | primitive.FloatLiteral):
        value = expression.value
        return True, value if isinstance(value, str | int | float) else str(value)
    if isinstance(expression, primitive.Nil):
        return True, None
    # `blank` and `empty` mean the empty text: our values are texts.
    return isinstance(expression, primitive.Blank | primitive.Empty), ""


def _literal(value: Scalar) -> str:
    if isinstance(value, str):
        quote = "'" if '"' in value else '"'
        return f"{quote}{value}{quote}"
    return "nil" if value is None else str(value).lower()


def _syntax_message(error: LiquidError, source: str) -> str:
    tag = error.token.value if error.token is not None and error.token.kind == "tag" else ""
    if tag in _LOOPS:
        return _("`%(tag)s` cannot be in a campaign: only fields and conditions can.", tag=tag)
    return _("A merge field or condition is not complete: %(detail)s", detail=str(error.args[0]) if error.args else "")


def _line(token: object, source: str) -> int | None:
    start = getattr(token, "start_index", -1)
    return source.count("\n", 0, start) + 1 if isinstance(start, int) and start >= 0 else None
