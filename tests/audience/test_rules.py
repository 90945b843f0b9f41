"""A segment's rule chooses the same members on SQLite, on PostgreSQL and in plain Python; what is no rule is refused with its place."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from kairan import mail_domains
from kairan.database import Database
from kairan.models.audience import Member
from mailer.audience import rule_sql, rules
from mailer.audience.rule_days import At
from mailer.audience.rules import OPERATORS, Group, RuleRefused
from tests.audience import crowd
from tests.audience.rule_python import Oracle
from tests.conftest import DATABASES
from tests.support.ground import NOW

TOKYO = ZoneInfo("Asia/Tokyo")
MOMENTS = [NOW, datetime(2026, 12, 28, 16, 0, tzinfo=UTC), datetime(2027, 2, 22, tzinfo=UTC), datetime(2028, 2, 21, 20, 0, tzinfo=UTC)]
"""an ordinary day, the end of a year, the end of February without and with a leap day"""


@dataclass
class Asked:
    database: Database
    crowd: crowd.Crowd

    def both(self, rule: Group, now: datetime = NOW, *, walked: bool = False) -> tuple[set[int], set[int]]:
        """(by the database, by Python)."""
        condition = rule_sql.condition(rule, At(now, TOKYO), sqlite=self.database.is_sqlite, walked=walked)
        with self.database.reading() as session:
            found = set(session.scalars(select(Member.id).where(condition)))
        return found, Oracle(self.crowd, now, TOKYO).chosen(rule)


@pytest.fixture(scope="module", params=DATABASES)
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("crowd") / "kairan.sqlite"
        shutil.copyfile(request.getfixturevalue("_migrated_sqlite"), path)
        url = f"sqlite:///{path}"
    else:
        url = request.getfixturevalue("postgres_server").create(request.getfixturevalue("_migrated_postgres"))
    opened = Database(url)
    with opened.writing() as session:
        people = crowd.fill(session, 1_000)
    yield Asked(opened, people)
    opened.dispose()
    if request.param == "postgresql":
        request.getfixturevalue("postgres_server").drop(url)


# ---- any rule

_texts = st.sampled_from([word for word in crowd.WORDS if word.strip()] + ["an", "x_", "20", "ja", "example", "@", "%", "é"]).map(str.strip)
_dates = st.dates(date(2026, 10, 1), date(2027, 1, 31)) | st.sampled_from([date(1980, 2, 29), date(1999, 12, 31), date(1800, 1, 1)])
_numbers = st.sampled_from([number for number in crowd.NUMBERS if not isinstance(number, str) and abs(number) <= 10**15]) | st.integers(
    -30, 30
)
_VALUES = {
    "text": _texts,
    "texts": st.lists(_texts, min_size=1, max_size=4),
    "number": _numbers,
    "numbers": st.tuples(_numbers, _numbers).map(sorted),
    "date": _dates.map(date.isoformat),
    "days": st.integers(1, 365) | st.integers(1, 40),
    "campaigns": st.integers(1, 6),
    "nothing": st.none(),
}
_OWN = {
    "domain": st.sampled_from([*crowd.DOMAINS, "@gmail.com", "com"]),
    "consent": st.sampled_from(["News", "Offers", "Nothing"]),
    "list": st.integers(1, 4).map(str),
    "received": st.integers(1, 9).map(str),
    "provider": st.sampled_from(sorted(mail_domains.READY)),
    "format": st.sampled_from(["html", "text"]),
    "recording": st.sampled_from(["identified", "aggregate", "none"]),
}
FIELDS = [*rules.FIELDS, *(f"attributes.{name}" for name in ("plan", "birthday", "points", "vip", "unheard_of"))]


@st.composite
def leaves(draw: st.DrawFn) -> dict:
    name = draw(st.sampled_from(FIELDS))
    op = draw(st.sampled_from(rules.operators(name)))
    shape = OPERATORS[op].name
    link = st.sampled_from([*crowd.URLS, "AUTUMN", "秋", "%25"])
    single = link if op == "link" else _OWN[name] if name in _OWN and shape in ("text", "id") else _VALUES.get(shape, st.none())
    value = draw(st.lists(_OWN[name], min_size=1, max_size=3) if name == "domain" and op == "one_of" else single)
    return {"field": name, "op": op} if value is None else {"field": name, "op": op, "value": value}


def _group(parts: st.SearchStrategy) -> st.SearchStrategy:
    return st.builds(lambda kind, inside: {kind: inside}, st.sampled_from(rules.GROUPS), st.lists(parts, min_size=1, max_size=3))


rule_documents = _group(st.recursive(leaves(), _group, max_leaves=6))


@settings(max_examples=60, deadline=None)
@given(document=rule_documents, now=st.sampled_from(MOMENTS), walked=st.booleans())
def test_any_rule_chooses_whom_python_chooses(asked, document, now, walked):
    try:
        rule = rules.read(document)
    except RuleRefused as refused:
        assert {fault.message for fault in refused.faults} <= {"Groups stand at most 5 deep."}
        return

    by_database, by_python = asked.both(rule, now, walked=walked)

    assert by_database == by_python
    assert rules.read(rules.document(rule)) == rule


_SOMEBODY = {"is_not_empty None", "yes None", "anniversary 365", "recently 1", "in 1", "given News", "was 1"}


@pytest.mark.parametrize("name", FIELDS)
def test_each_operator_of_a_field_chooses_whom_python_chooses(asked, name):
    samples = {"text": ["Hanako", "ANN", "a%b"], "texts": [["hanako", "花子"]], "number": [20, 0.1, -1], "numbers": [[0, 20.5]]}
    samples |= {"date": ["2026-11-24", "1980-02-29"], "days": [1, 7, 30, 365], "campaigns": [1, 3], "nothing": [None], "id": ["1", "2"]}
    own = {"consent": ["News"], "provider": ["google", "docomo"], "format": ["html"], "recording": ["none"], "domain": ["GMAIL.com"]}
    for op in rules.operators(name):
        given_values = own.get(name) if OPERATORS[op].name == "text" and name in own else samples[OPERATORS[op].name]
        for value in ["autumn"] if op == "link" else given_values:
            rule = rules.read({"all": [{"field": name, "op": op, **({} if value is None else {"value": value})}]})
            for now in MOMENTS:
                by_database, by_python = asked.both(rule, now)

                assert by_database == by_python, (op, value, now)
                if name != "attributes.unheard_of" and f"{op} {value}" in _SOMEBODY:
                    assert by_database, (op, value)


# ---- birthdays


@pytest.mark.parametrize(
    ("today", "within", "born", "fits"),
    [
        ("2026-11-24", 7, "1990-11-24", True),
        ("2026-11-24", 7, "1990-12-01", True),
        ("2026-11-24", 7, "1990-12-02", False),
        ("2026-11-24", 7, "1990-11-23", False),
        ("2026-12-28", 7, "1990-01-04", True),
        ("2026-12-28", 7, "1990-01-05", False),
        ("2027-02-28", 0, "1980-02-29", True),
        ("2027-02-21", 7, "1980-02-29", True),
        ("2027-03-01", 0, "1980-02-29", False),
        ("2028-02-28", 0, "1980-02-29", False),
        ("2028-02-29", 0, "1980-02-29", True),
        ("2026-11-24", 365, "1990-11-23", True),
        ("2026-11-24", 364, "1990-11-23", True),
        ("2026-11-24", 363, "1990-11-23", False),
    ],
)
def test_a_birthday_comes_round_over_leap_days_and_the_end_of_the_year(database_url, today, within, born, fits):
    noon = datetime.fromisoformat(today).replace(hour=3, tzinfo=UTC)
    opened = Database(database_url)
    with opened.writing() as session:
        session.add(Member(email="a@b.example", address_key=b"x" * 16, attributes={"birthday": born}, created_at=NOW, updated_at=NOW))
    rule = rules.read({"all": [{"field": "attributes.birthday", "op": "anniversary", "value": within}]})
    with opened.reading() as session:
        condition = rule_sql.condition(rule, At(noon, TOKYO), sqlite=opened.is_sqlite)
        found = session.scalars(select(Member.id).where(condition)).all()
    opened.dispose()

    assert bool(found) is fits


def test_a_day_is_the_zones_own_day():
    late = At(datetime(2026, 11, 24, 15, 30, tzinfo=UTC), TOKYO)

    assert late.today == date(2026, 11, 25)
    assert late.begins(date(2026, 11, 25)) == datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
    assert late.begins(late.today) - late.begins(late.today - timedelta(days=1)) == timedelta(days=1)


# ---- what is refused


@pytest.mark.parametrize(
    ("document", "path", "part"),
    [
        (None, (), ""),
        ([], (), ""),
        ({}, (), ""),
        ({"all": [], "any": []}, (), ""),
        ({"all": []}, (), ""),
        ({"all": "x"}, (), ""),
        ({"field": "email", "op": "is", "value": "x"}, (), ""),
        ({"all": [{"any": []}]}, (0,), ""),
        ({"all": [1]}, (0,), ""),
        ({"all": [{"field": "email"}]}, (0,), ""),
        ({"all": [{"field": "email", "op": "is", "value": "x", "more": 1}]}, (0,), ""),
        ({"all": [{"field": "password", "op": "is", "value": "x"}]}, (0,), "field"),
        ({"all": [{"field": ["email"], "op": "is", "value": "x"}]}, (0,), "field"),
        ({"all": [{"field": "attributes.No Name", "op": "is", "value": "x"}]}, (0,), "field"),
        ({"all": [{"field": "attributes.a'; --", "op": "is", "value": "x"}]}, (0,), "field"),
        ({"all": [{"field": "email", "op": "equals", "value": 1}]}, (0,), "op"),
        ({"all": [{"field": "email", "op": {}, "value": 1}]}, (0,), "op"),
        ({"all": [{"field": "email", "op": "is"}]}, (0,), "value"),
        ({"all": [{"field": "email", "op": "is", "value": " "}]}, (0,), "value"),
        ({"all": [{"field": "email", "op": "is", "value": "a\x00b"}]}, (0,), "value"),
        ({"all": [{"field": "email", "op": "is", "value": "a\ud800b"}]}, (0,), "value"),
        ({"all": [{"field": "email", "op": "is", "value": "x" * 201}]}, (0,), "value"),
        ({"all": [{"field": "email", "op": "one_of", "value": []}]}, (0,), "value"),
        ({"all": [{"field": "email", "op": "one_of", "value": ["x"] * 101}]}, (0,), "value"),
        ({"all": [{"field": "email", "op": "is_empty", "value": "x"}]}, (0,), "value"),
        ({"all": [{"field": "attributes.a", "op": "equals", "value": "20"}]}, (0,), "value"),
        ({"all": [{"field": "attributes.a", "op": "equals", "value": True}]}, (0,), "value"),
        ({"all": [{"field": "attributes.a", "op": "equals", "value": float("nan")}]}, (0,), "value"),
        ({"all": [{"field": "attributes.a", "op": "equals", "value": 10**16}]}, (0,), "value"),
        ({"all": [{"field": "attributes.a", "op": "between", "value": [2, 1]}]}, (0,), "value"),
        ({"all": [{"field": "attributes.a", "op": "between", "value": [1]}]}, (0,), "value"),
        ({"all": [{"field": "attributes.a", "op": "on", "value": "2026-02-30"}]}, (0,), "value"),
        ({"all": [{"field": "attributes.a", "op": "on", "value": "20261124"}]}, (0,), "value"),
        ({"all": [{"field": "attributes.a", "op": "on", "value": "9999-12-31"}]}, (0,), "value"),
        ({"all": [{"field": "attributes.a", "op": "in_next", "value": 0}]}, (0,), "value"),
        ({"all": [{"field": "attributes.a", "op": "in_next", "value": 10**9}]}, (0,), "value"),
        ({"all": [{"field": "attributes.a", "op": "anniversary", "value": 366}]}, (0,), "value"),
        ({"all": [{"field": "opened", "op": "recently", "value": 51}]}, (0,), "value"),
        ({"all": [{"field": "list", "op": "in", "value": 7}]}, (0,), "value"),
        ({"all": [{"field": "list", "op": "in", "value": "９"}]}, (0,), "value"),
        ({"all": [{"field": "format", "op": "is", "value": "pdf"}]}, (0,), "value"),
        ({"all": [{"field": "provider", "op": "is", "value": "nobody"}]}, (0,), "value"),
        ({"all": [{"all": [{"all": [{"all": [{"all": [{"all": [{}]}]}]}]}]}]}, (0, 0, 0, 0, 0), ""),
    ],
)
def test_what_is_no_rule_is_refused_with_its_place(document, path, part):
    with pytest.raises(RuleRefused) as refused:
        rules.read(document)

    assert [(fault.path, fault.part) for fault in refused.value.faults] == [(path, part)]
    assert refused.value.faults[0].message


def test_all_faults_are_told_at_once():
    leaf = {"field": "email", "op": "is", "value": ""}

    with pytest.raises(RuleRefused) as refused:
        rules.read({"all": [leaf, {"any": [leaf, {"field": "nothing", "op": "is"}]}]})

    assert [fault.path for fault in refused.value.faults] == [(0,), (1, 0), (1, 1)]


def test_a_hundred_rules_are_the_most():
    leaf = {"field": "email", "op": "is", "value": "x"}

    assert len(rules.read({"all": [leaf] * 100}).parts) == 100
    for many in ({"all": [leaf] * 101}, {"all": [{"any": [{"any": [leaf] * 60}] * 60}] * 60}):
        with pytest.raises(RuleRefused, match="at most 100 rules"):
            rules.read(many)
