from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import facebench


@pytest.mark.parametrize("name", facebench.__all__)
def test_every_public_name_is_there(name):
    assert getattr(facebench, name) is not None


def test_the_list_of_names_is_the_table_of_rooms():
    assert sorted(facebench.__all__) == sorted(facebench._HOME)


def test_no_public_name_is_also_a_room():
    """Importing a room puts it into the package under its name, in place of whatever was meant to be there."""
    rooms = {module.name for module in pkgutil.iter_modules(facebench.__path__)}
    assert not rooms & set(facebench.__all__)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = facebench.nothing


def test_importing_the_package_imports_nothing_else_of_it():
    code = "import sys, facebench; assert not [m for m in sys.modules if m.startswith('facebench.')]"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_dir_shows_the_public_names():
    assert set(facebench.__all__) <= set(dir(facebench))
