"""An operator's MMDB files give countries and mail gateways; without them nothing is known, and nothing is asked elsewhere."""

from pathlib import Path

from kairan import clock
from kairan.models.events import Aspect, Facet
from tests.support import mmdb
from tests.tracking.conftest import GMAIL, PERSON, Sent
from tests.tracking.test_ingest import fetch, put
from tracking import ingest, networks
from tracking.networks import Networks

JAPAN = bytes([203, 0, 113])
GATEWAY = bytes([198, 51, 100])


def files(folder: Path) -> list[Path]:
    countries = {
        "203.0.113.0/24": {"country": {"iso_code": "JP"}},
        "198.51.100.0/24": {"country": {"iso_code": "US"}},
        "2001:db8::/32": {"country_code": "FR"},
    }
    owners = {"198.51.100.0/24": {"autonomous_system_organization": "PROOFPOINT-ASN-US-EAST"}}
    return [mmdb.write(folder / "country.mmdb", countries), mmdb.write(folder / "asn.mmdb", owners)]


def test_countries_and_gateways_come_from_the_files(tmp_path: Path) -> None:
    known = Networks(files(tmp_path))

    assert known.of(JAPAN) == ("203.0.113.0/24", "JP", False)
    assert known.of(GATEWAY) == ("198.51.100.0/24", "US", True)
    assert known.of(bytes.fromhex("20010db80000"))[1:] == ("FR", False)
    assert known.of(bytes([192, 0, 2])) == ("192.0.2.0/24", None, False)
    assert known.of(b"") == (None, None, False)


def test_a_broken_file_knows_nothing_and_a_replaced_one_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "country.mmdb"
    path.write_bytes(b"not one of these")
    assert networks.current([path]).of(JAPAN) == ("203.0.113.0/24", None, False)

    files(tmp_path)
    known = networks.current([path])
    assert known.of(JAPAN).country == "JP"
    assert networks.current([path]) is known
    assert networks.current([tmp_path / "nowhere.mmdb"]).of(JAPAN).country is None


def test_a_gateways_network_is_a_machine_and_a_providers_proxy_stays_a_person(sent: Sent, tmp_path: Path) -> None:
    gateway = {"network": GATEWAY}
    put(sent, fetch(sent, 1), fetch(sent, 2)._replace(**gateway), fetch(sent, 3, agent=GMAIL)._replace(**gateway))
    ingest.drain(sent.ground.database, sent.redis, clock.now(), Networks(files(tmp_path)))

    assert [
        (event.number, event.machine, event.rule, event.country) for event in sorted(sent.events(), key=lambda event: event.number)
    ] == [
        (1, False, "person/1", "JP"),
        (2, True, "network/1", "US"),
        (3, False, "proxy_gmail/1", "US"),
    ]
    with sent.ground.reading() as session:
        japan = session.get_one(Facet, (sent.campaign_id, int(Aspect.COUNTRY), "JP"))
        gateways = session.get_one(Facet, (sent.campaign_id, int(Aspect.CLIENT), "Mail gateway"))
    assert (japan.opens, japan.openers, gateways.machines, gateways.opens) == (1, 1, 1, 0)
    assert PERSON not in repr(sent.events())
