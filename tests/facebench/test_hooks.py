from __future__ import annotations

import inspect
import subprocess
import sys
from types import ModuleType

import pluggy
import pytest

from facebench import hooks, specs
from facebench.host import OFFERS

SPECS = {name: function for name, function in vars(hooks).items() if name.startswith("facebench_")}
TELLINGS = {
    "facebench_run_started": ("run",),
    "facebench_epoch_ended": ("run", "epoch", "values"),
    "facebench_result_ready": ("run", "result"),
    "facebench_run_ended": ("run", "results"),
    "facebench_report_written": ("results", "files"),
}


def test_there_are_thirteen_hooks():
    assert set(SPECS) == {f"facebench_{kind}" for kind in OFFERS} | set(TELLINGS)
    assert len(SPECS) == 13


def test_offers_ask_nothing_and_promise_the_right_spec():
    for kind, spec in OFFERS.items():
        signature = inspect.signature(SPECS[f"facebench_{kind}"])
        assert not signature.parameters
        assert signature.return_annotation == f"Iterable[{spec.__name__}]"


def test_every_kind_of_spec_is_offered_by_one_hook():
    kinds = [spec for spec in vars(specs).values() if isinstance(spec, type) and issubclass(spec, specs.Spec)]
    assert set(OFFERS.values()) == set(kinds) - {specs.Spec}


@pytest.mark.parametrize("name", TELLINGS)
def test_tellings_keep_their_arguments(name):
    """An argument may be added; one that is renamed or lost breaks every tracker out there."""
    signature = inspect.signature(SPECS[name])
    assert tuple(signature.parameters) == TELLINGS[name]
    assert signature.return_annotation == "None"


@pytest.mark.parametrize("name", SPECS)
def test_every_hook_is_a_page_of_the_manual(name):
    text = inspect.getdoc(SPECS[name])
    assert text and text.startswith(("Offers ", "Told "))
    assert text.rstrip().endswith(".")


def test_pluggy_knows_them_all_and_the_public_mark_fits():
    from facebench import hookimpl

    manager = pluggy.PluginManager(hooks.GROUP)
    manager.add_hookspecs(hooks)
    plugin = ModuleType("plugin")
    for name in SPECS:
        setattr(plugin, name, hookimpl(lambda: None))
    manager.register(plugin)
    manager.check_pending()
    assert {caller.name for caller in manager.get_hookcallers(plugin)} == set(SPECS)


def test_reading_the_manual_waits_for_nothing():
    code = "import sys, facebench.hooks; assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
