"""The wheel carries all that Kairan needs, and nothing that another distribution could collide with."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the checkout, assets and catalogues included."""
    folder = tmp_path_factory.mktemp("wheel")
    options: list[str | Path] = ["-q", "--wheel", "--no-build-isolation", "--python", sys.executable, "-o", folder]
    subprocess.run([sys.executable, "-m", "uv", "build", *options, ROOT], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_it_carries_assets_templates_migrations_and_catalogues(names):
    assert "mailer/static/dist/manifest.json" in names
    assert [name for name in names if name.startswith("mailer/static/dist/app-")]
    assert [name for name in names if name.startswith("kairan/_data/templates/")]
    assert "kairan/migrations/script.py.mako" in names
    assert [name for name in names if name.startswith("kairan/migrations/versions/") and name.endswith(".py")]
    assert "kairan/locales/ja/LC_MESSAGES/kairan.mo" in names


def test_its_top_level_is_ours_alone(names):
    top = {name.split("/")[0] for name in names}

    assert top <= {"kairan", "mailer", "tracking", "unsubscribe", "worker.py", "kairan-0.1.0.dist-info"}


def test_it_runs_outside_the_checkout(wheel, tmp_path):
    """In a new environment that has our dependencies but not the checkout: the schema, a template and a Japanese word are found."""
    venv = tmp_path / "venv"
    python = venv / "bin/python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", python]
    subprocess.run([*install, "--require-hashes", "-r", ROOT / "requirements/run.txt"], check=True)
    subprocess.run([*install, "--no-deps", wheel], check=True)

    said = subprocess.run([python, "-c", _LOOK], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    assert said.split() == ["migrated", "templates", "catalogue"]


_LOOK = """
from kairan import resources
from kairan.database import migrate
from kairan.i18n import catalogue

assert "site-packages" in str(resources.ROOT)
migrate("sqlite:///kairan.sqlite")
print("migrated")
if any(resources.path("templates").rglob("*")):
    print("templates")
if catalogue("ja").info():
    print("catalogue")
"""
