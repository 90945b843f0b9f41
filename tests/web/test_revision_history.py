"""What a campaign said before is seen as the mail it was, and comes back as a new revision."""

from typing import Any

from kairan.models.campaigns import Campaign, Revision
from kairan.runtime import Runtime
from tests.web.test_report_pages import words


def test_an_earlier_revision_is_seen_and_comes_back(ground: Runtime, admin: Any) -> None:
    path = admin.post("/campaigns/new", {"name": "Autumn", "start": "letter"}).headers["Location"].removesuffix("/recipients")
    form = {"kind": "html", "from_name": "Aoba", "from_email": "news@example.org"}
    admin.post(f"{path}/content", {**form, "base": "1", "subject": "First", "content": "<p>First words</p>"})
    admin.post(f"{path}/content", {**form, "base": "2", "subject": "First", "content": "<p>Second words</p>"})

    page = words(admin.get(f"{path}/revisions"))
    assert "3 Holds now Content admin@example.org" in page and "2 Subject, " in page
    assert "First words" in admin.get(f"{path}/revisions/2/preview").get_data(as_text=True)
    assert "Revision 2" in words(admin.get(f"{path}/revisions/2"))
    assert admin.post(f"{path}/revisions/2/restore").status_code == 303
    with ground.reading() as session:
        assert session.get_one(Campaign, 1).revision == 4
        assert session.get_one(Revision, (1, 4)).content == "<p>First words</p>"
        assert session.get_one(Revision, (1, 3)).content == "<p>Second words</p>"
    assert admin.get(f"{path}/revisions/9").status_code == admin.post(f"{path}/revisions/9/restore").status_code == 404


def test_who_only_looks_restores_nothing(admin: Any, signed_in: Any) -> None:
    path = admin.post("/campaigns/new", {"name": "Autumn", "start": "empty"}).headers["Location"].removesuffix("/recipients")
    analyst = signed_in("analyst")
    assert analyst.get(f"{path}/revisions").status_code == 200
    assert analyst.post(f"{path}/revisions/1/restore").status_code == 403
