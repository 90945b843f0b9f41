"""Imports go one way (pyproject.toml, [tool.importlinter])."""

from pathlib import Path

import pytest
from importlinter.cli import lint_imports


def test_imports_keep_to_their_layers(capsys: pytest.CaptureFixture[str]) -> None:
    broken = lint_imports(config_filename=str(Path(__file__).parents[1] / "pyproject.toml"), no_cache=True, no_logo=True)

    assert not broken, capsys.readouterr().out
