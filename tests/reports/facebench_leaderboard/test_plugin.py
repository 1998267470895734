from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from facebench_leaderboard.plugin import facebench_reports

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from facebench import Result


def test_both_formats_are_offered_and_write(make: Callable[..., Result], tmp_path: Path) -> None:
    specs = {spec.name: spec for spec in facebench_reports()}
    assert set(specs) == {"markdown", "html"}
    result = make().model_copy(update={"curves": ()})
    for name, file in (("markdown", "leaderboard.md"), ("html", "index.html")):
        renderer = specs[name].build(specs[name].options(title="Our methods", metrics=("eer",)))
        (path,) = renderer.render([result], tmp_path)
        assert path == tmp_path / file
        text = path.read_text(encoding="utf-8")
        assert "Our methods" in text
        assert "eer (%)" in text
        assert "auc (%)" not in text


def test_options_are_checked() -> None:
    spec = next(iter(facebench_reports()))
    assert spec.options().metrics == ()
    with pytest.raises(ValidationError):
        spec.options(titel="x")
    with pytest.raises(ValidationError):
        spec.options(title="")


def test_listing_the_formats_imports_nothing_heavy() -> None:
    program = (
        "import sys; from facebench_leaderboard.plugin import facebench_reports; list(facebench_reports());"
        "assert not {'torch', 'matplotlib', 'jinja2', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
