"""What each application of a test would compile anew is compiled once a process: its 450 routes (110 ms) and its pages (50 ms each).

Nearly every test of pages or API makes an application of its own, so this was a third of the whole suite's time. The results depend on
nothing but the route's words and the template's text.
"""

from typing import Any, ClassVar

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule


class _Pages(BytecodeCache):
    """In this process's memory; the key holds the template's text, so a changed one is compiled."""

    held: ClassVar[dict[str, bytes]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        found = self.held.get(f"{bucket.key}{bucket.checksum}")
        if found is not None:
            bucket.bytecode_from_string(found)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.held[f"{bucket.key}{bucket.checksum}"] = bucket.bytecode_to_string()


def install() -> None:
    Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": _Pages()}
    compiled: dict[tuple[object, ...], Any] = {}
    build = Rule._compile_builder

    def once(rule: Rule, append_unknown: bool = True) -> Any:
        key = (rule.rule, rule.host, rule.subdomain, repr(rule.defaults), append_unknown)
        if key not in compiled:
            compiled[key] = build(rule, append_unknown)
        return compiled[key]

    Rule._compile_builder = once  # type: ignore[assignment,method-assign]
