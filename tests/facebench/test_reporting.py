from __future__ import annotations

import pytest

from facebench import hookimpl
from facebench.errors import FacebenchError, UnknownName
from facebench.runner import report

# Reports.


def test_a_report_over_runs(bench, tmp_path):
    from facebench import ReportSpec

    told = []

    class Writer:
        def render(self, results, out, /):
            out.mkdir(parents=True, exist_ok=True)
            (out / "page.txt").write_text(", ".join(result.protocol for result in results))
            return [out / "page.txt"]

    bench.module.facebench_reports = hookimpl(
        _named("facebench_reports", lambda: [ReportSpec(name="words", summary="x", build=lambda chosen: Writer())])
    )

    def facebench_report_written(results, files):
        told.append((len(results), [file.name for file in files]))

    bench.module.facebench_report_written = hookimpl(facebench_report_written)
    bench.upgrade("1.0")
    bench.run(plugin="means", protocols=("toy", "other"))
    (page,) = report([bench.folder / "runs"], bench.host, formats=("words",), out=tmp_path / "pages")
    assert page.read_text() == "other, toy"
    assert told == [(2, ["page.txt"])]
    with pytest.raises(UnknownName, match="unknown report 'wrds'; did you mean 'words'"):
        report([bench.folder / "runs"], bench.host, formats=("wrds",), out=tmp_path / "pages")
    with pytest.raises(FacebenchError, match="no results at"):
        report([tmp_path / "absent"], bench.host, formats=("words",), out=tmp_path / "pages")


def _named(name, function):
    function.__name__ = name
    return function
