"""The plain-text part reads like a text, in Japanese too."""

from tests.compose.builders import recipient, source, text_of


def _text(html: str, **attributes: object) -> str:
    """The part without its footer."""
    written = text_of(source(html), recipient(attributes=attributes), "text")
    return written.partition("-" * 40 + "\nHanaya")[0].strip("\n")


def test_headings_paragraphs_lists_and_tables_become_lines() -> None:
    html = """<html><head><title>no</title><style>p{color:red}</style></head><body><div style="display:none">preheader&#847;&zwnj;</div>
    <h1>春の<br>お知らせ</h1><p>こんにちは、<b>山田</b>さん。
    改行です。</p><table><tr><td>A</td><td>B</td></tr></table>
    <ul><li>one<ul><li>nested</li></ul></li><li>two</li></ul><ol><li>first<li>second</ol><blockquote>said<br>so</blockquote>
    <p><a href="https://x.example/あ b"><img src="https://x.example/i.png" alt="画像"></a></p></body></html>"""

    assert _text(html).split("\n") == [
        "春の",
        "お知らせ",
        "========",
        "",
        "こんにちは、山田さん。 改行です。",
        "",
        "A",
        "B",
        "",
        "- one",
        "",
        "  - nested",
        "",
        "- two",
        "",
        "1. first",
        "2. second",
        "",
        "> said",
        "> so",
        "",
        "画像 <https://x.example/あ%20b>",
    ]


def test_a_branch_not_taken_leaves_no_gap() -> None:
    html = "<p>a</p>{% if member.vip %}<p>vip</p>{% endif %}<p>b {% if member.vip %}yes{% else %}no{% endif %}.</p>"

    assert _text(html, vip=True) == "a\n\nvip\n\nb yes."
    assert _text(html) == "a\n\nb no."


def test_an_address_that_is_its_own_label_stands_once() -> None:
    assert _text('<p><a href="https://x.example/1">https://x.example/1</a> and <a href="mailto:a@example.org">write</a></p>') == (
        "https://x.example/1 and write <a@example.org>"
    )


def test_the_authors_text_takes_the_place_of_ours() -> None:
    assert text_of(source("<p>html</p>", text="Dear {{ member.first_name }},\n\n.dot"), format_="html").startswith("Dear Taro,\n\n.dot\n")
