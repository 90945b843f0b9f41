"""The search box of every page: campaigns, members and pages."""

from flask import Blueprint, render_template, request

from kairan.models.campaigns import Campaign
from mailer.web import campaign_queries, edge, member_queries, navigation

blueprint = Blueprint("search", __name__)
EACH_MAX = 20


@blueprint.get("/search")
@edge.allowed("search")
def search() -> str:
    from sqlalchemy import select

    words = request.args.get("q", "").strip()[:200]
    with edge.reading() as session:
        campaigns = (
            list(session.scalars(select(Campaign).where(campaign_queries.matches(words)).order_by(Campaign.id.desc()).limit(EACH_MAX)))
            if words
            else []
        )
        members = member_queries.listed(session, words, None, None, EACH_MAX) if words and edge.can("member.view") else []
    pages = [page for item in navigation.items() for page in (item, *item.children) if words and words.lower() in str(page.text).lower()]
    return render_template("admin/search.html", search_for=words, campaigns=campaigns, members=members, pages=pages)
