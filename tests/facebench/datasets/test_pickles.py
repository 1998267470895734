from __future__ import annotations

import builtins
import os
import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.datasets.pickles import PickledArray, read_pickle
from facebench.errors import DataError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.lists(inner, max_size=5).map(tuple),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(value=plain, protocol=st.sampled_from(PROTOCOLS))
def test_plain_values_are_what_the_standard_reader_gives(value, protocol):
    data = pickle.dumps(value, protocol=protocol)
    assert read_pickle(data, name="x") == pickle.loads(data)


@given(value=st.lists(st.binary(max_size=300)), protocol=st.integers(3, pickle.HIGHEST_PROTOCOL))
def test_byte_strings_are_what_the_standard_reader_gives(value, protocol):
    assert read_pickle(pickle.dumps(value, protocol=protocol), name="x") == value


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("shape", [(6,), (6, 1), (2, 3)])
def test_arrays_become_records(protocol, shape):
    array = np.arange(6, dtype=np.uint8).reshape(shape)
    first, second = read_pickle(pickle.dumps([array, array + 1], protocol=protocol), name="x")
    assert isinstance(first, PickledArray)
    assert (first.shape, first.dtype.code, first.data) == (shape, "u1", array.tobytes())
    assert second.data == (array + 1).tobytes()
    assert first.dtype.code == second.dtype.code


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


HOSTILE = {
    "posix.system": Call(os.system, "touch /tmp/facebench-was-here"),
    "builtins.eval": Call(eval, "__import__('os').getpid()"),
    "builtins.exec": Call(exec, "x = 1"),
    "subprocess.Popen|commands.Popen": Call(subprocess.Popen, ["true"]),
    "builtins.getattr": Call(getattr, "x", "upper"),
    "_codecs.encode": b"bytes as protocol 2 writes them",
    "numpy.core.multiarray.scalar|numpy._core.multiarray.scalar": np.float64(1),
    "collections.OrderedDict": __import__("collections").OrderedDict(),
}


# Newer protocols write bytes without a call.
@pytest.mark.parametrize(
    ("asked", "protocol"), [(a, p) for a in HOSTILE for p in (0, 2, 4) if p < 3 or a != "_codecs.encode"]
)
@pytest.mark.parametrize("nest", [lambda v: v, lambda v: (["a", [v]], [True]), lambda v: (v, [True])])
def test_any_other_name_is_refused_and_named(asked, protocol, nest, monkeypatch):
    called = []
    data = pickle.dumps(nest(HOSTILE[asked]), protocol=protocol)
    for module, name in ((os, "system"), (builtins, "eval"), (builtins, "exec"), (subprocess, "Popen")):
        monkeypatch.setattr(module, name, lambda *a, **k: called.append(a))
    names = asked.replace(".", r"\.")
    if protocol < 3:
        names = names.replace("builtins", "__builtin__")
    with pytest.raises(DataError, match=rf"asks Python for '({names})'"):
        read_pickle(data, name="x")
    assert not called


@pytest.mark.parametrize(
    "data",
    [
        b"cnumpy\nndarray\n(I1000000000\ntR.",  # call the array type itself
        b"cnumpy\ndtype\n)R.",
        b"cnumpy\ndtype\n(cnumpy\ndtype\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I9\ntS'b'\ntR.",
        b"cnumpy\nndarray\n(I1\ntb.",  # set the state of a type
        b"cnumpy\ndtype\n(S'O8'\ntR}b.",  # state as a dictionary
        b"cnumpy\ndtype\n(S'O8'\ntR(I3\nI4\ntb.",
        b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.__new__\x93.",
        b"cnumpy\nndarray.__new__\n.",
        b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
        b"(inumpy\nndarray\n.",  # INST
        b"\x80\x02cnumpy\nndarray\n)\x81.",  # NEWOBJ
        b"Pperson\n.",  # PERSID
        b"\x82\x01.",  # EXT1
        b"}.",
        b"\x8f.",
        b"]K\x01\x94(h\x00ae.",
        b"K\x01K\x02a.",
        b"(K\x01t",
        b".",
        b"",
        b"0.",
        b"h\x05.",
        b"g-1\n.",
        b"S'abc\n.",
        b"S'a' + 'b'\n.",
        b"S__import__('os')\n.",
        b"I" + b"9" * 5000 + b"\n.",
        b"Ione\n.",
        b"X\x04\x00\x00\x00\xff\xff\xff\xff.",
    ],
)
def test_abuse_is_an_error(data):
    with pytest.raises(DataError, match=r"^x: "):
        read_pickle(data, name="x")


@pytest.mark.parametrize(
    "data",
    [
        b"\x8e" + (2**40).to_bytes(8, "little") + b"abc.",  # a byte string of a terabyte
        b"\x8e" + b"\xff" * 8 + b".",
        b"B\xff\xff\xff\xffabc.",
        b"Nr\xff\xff\xff\xff0.",
        b"\x8b\xff\xff\xff\x7f.",
    ],
)
def test_promised_sizes_cost_nothing(data):
    tracemalloc.start()
    with pytest.raises(DataError):
        read_pickle(data, name="x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_far_memo_slot_and_a_huge_frame_cost_nothing():
    assert read_pickle(b"Nr\xff\xff\xff\xff.", name="x") is None
    assert read_pickle(b"\x95" + b"\xff" * 8 + b"N.", name="x") is None


def test_depth_does_not_overflow_the_stack():
    deep = b")" + b"\x85" * 300_000 + b"."
    program = "import sys; from facebench.datasets.pickles import read_pickle; v = read_pickle(sys.stdin.buffer.read(), name='x'); del v"
    done = subprocess.run([sys.executable, "-c", program], input=deep, timeout=60, check=False)
    assert done.returncode == 0


@settings(max_examples=400, deadline=None)
@given(data=st.binary(max_size=200))
def test_random_bytes_never_run(data):
    try:
        value = read_pickle(data, name="x")
    except DataError:
        return
    assert value is None or type(value).__module__ in ("builtins", "facebench.datasets.pickles")


OPCODES = st.sampled_from(
    [bytes([c]) for c in b"(.0123FIJKMNPSTUVXabcdeghijlopqrstu}]()\x80\x81\x82\x85\x86\x87\x88\x8c\x8e\x93\x94"]
)
PIECES = OPCODES | st.sampled_from(
    [
        b"cnumpy\nndarray\n",
        b"cnumpy\ndtype\n",
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"cos\nsystem\n",
        b"K\x01",
        b"U\x02u1",
        b"S'b'\n",
        b"q\x00",
        b"h\x00",
    ]
)


@settings(max_examples=600, deadline=None)
@given(pieces=st.lists(PIECES, max_size=40))
def test_random_programs_never_run(pieces):
    try:
        read_pickle(b"".join(pieces) + b".", name="x")
    except DataError as error:
        assert "\n" not in str(error)
