"""Reads the one kind of pickle that verification packs are, without being able to run anything.

A pickle is a program: the standard reader imports and calls what the file asks for. This one is an interpreter of its
own for the few instructions that lists, byte strings, numbers and NumPy arrays need. The three names that packs ask for
are recognised, not imported; arrays become ``PickledArray`` records of shape, type and bytes. Any other name or
instruction is an error, so there is nothing here for a hostile file to reach. Memory and time stay proportional to the
file: a length is checked against what is left of the file before anything of that length is made.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from facebench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

# A pack of a million pictures needs about fifteen million.
_MOST_INSTRUCTIONS: Final = 20_000_000
# One string literal as Python 2 writes it, and nothing beside it.
_QUOTED: Final = re.compile(rb"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


class _Global(Enum):
    """What a pack may name."""

    RECONSTRUCT = "an empty array"
    NDARRAY = "the array type"
    DTYPE = "an element type"


_GLOBALS: Final = {
    ("numpy.core.multiarray", "_reconstruct"): _Global.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _Global.RECONSTRUCT,
    ("numpy", "ndarray"): _Global.NDARRAY,
    ("numpy", "dtype"): _Global.DTYPE,
}


@dataclass(slots=True)
class PickledDtype:
    """A NumPy element type as the pickle states it.

    Attributes:
        code: Kind and size, such as ``u1``.
        order: ``<``, ``>``, ``|`` or ``=``.
    """

    code: str
    order: str = "|"


@dataclass(slots=True)
class PickledArray:
    """A NumPy array as the pickle states it; nothing has been checked against anything.

    Attributes:
        shape: What the pickle calls its shape.
        dtype: What it calls its element type.
        fortran: Whether the first axis runs fastest.
        data: Its bytes.
    """

    shape: tuple[object, ...] = ()
    dtype: PickledDtype | None = None
    fortran: bool = False
    data: bytes = b""


def read_pickle(data: bytes, *, name: str) -> object:
    """The value of a pickle made of tuples, lists, bytes, text, integers, booleans, None and NumPy arrays.

    Python 2's ``str`` comes as bytes. What follows the end of the pickle is ignored, as by the standard reader.

    Args:
        data: The pickle, protocol 0 to 5.
        name: What errors call the file.

    Raises:
        DataError: When the pickle is malformed or cut short, or asks for a name or an instruction that packs do not
            need; the error says which.
    """
    machine = _Machine(data, name)
    try:
        return machine.run()
    except (ValueError, IndexError, KeyError, TypeError, SyntaxError, OverflowError, RecursionError) as error:
        raise DataError(f"{name}: not a readable pack; malformed at byte {machine.position:,} ({error})") from None
    except MemoryError:
        raise DataError(f"{name}: not a readable pack; it asks for more memory than there is") from None


class _Machine:
    """A stack, the positions of open marks, a memo, and one method per sort of instruction."""

    def __init__(self, data: bytes, name: str) -> None:
        self.position = 0
        self._data, self._name = data, name
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def run(self) -> object:
        for _ in range(_MOST_INSTRUCTIONS):
            code = self._take(1)
            if code == b".":
                return self._stack.pop()
            step = _INSTRUCTIONS.get(code)
            if step is None:
                raise DataError(
                    f"{self._name}: refused at byte {self.position - 1:,}: the pickle instruction {code!r} is none "
                    "that a pack of pictures needs"
                )
            step(self)
        raise ValueError(f"more than {_MOST_INSTRUCTIONS:,} instructions")

    # Reading

    def _take(self, length: int) -> bytes:
        stop = self.position + length
        if stop > len(self._data):
            raise ValueError("the file ends too early")
        taken = self._data[self.position : stop]
        self.position = stop
        return taken

    def _number(self, length: int, *, signed: bool = False) -> int:
        return int.from_bytes(self._take(length), "little", signed=signed)

    def _line(self) -> bytes:
        end = self._data.find(b"\n", self.position)
        if end < 0:
            raise ValueError("the file ends within a line")
        line = self._data[self.position : end]
        self.position = end + 1
        return line

    # Values

    def push(self, value: object) -> None:
        self._stack.append(value)

    def skip(self, length: int) -> None:
        self._take(length)

    def push_number(self, length: int, *, signed: bool) -> None:
        self.push(self._number(length, signed=signed))

    def push_long(self) -> None:
        self.push(self._number(self._number(1), signed=True))

    def push_number_line(self) -> None:
        line = self._line()
        self.push({b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line.removesuffix(b"L")))

    def push_bytes(self, length: int) -> None:
        self.push(self._take(self._number(length)))

    def push_bytes_line(self) -> None:
        line = self._line()
        if not _QUOTED.fullmatch(line):
            raise ValueError("not a quoted string")
        self.push(ast.literal_eval("b" + line.decode("ascii")))

    def push_text(self, length: int) -> None:
        self.push(self._take(self._number(length)).decode("utf-8", "surrogatepass"))

    def push_text_line(self) -> None:
        self.push(self._line().decode("raw-unicode-escape"))

    # Containers

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def _since_mark(self) -> list[object]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def push_tuple(self, length: int | None) -> None:
        if length is None:
            self.push(tuple(self._since_mark()))
            return
        items = [self._stack.pop() for _ in range(length)]
        self.push(tuple(reversed(items)))

    def push_list(self) -> None:
        self.push(self._since_mark())

    def append(self, *, many: bool) -> None:
        items = self._since_mark() if many else [self._stack.pop()]
        target = self._stack[-1]
        if not isinstance(target, list):
            raise TypeError("appends to what is no list")
        target.extend(items)

    # Memo

    def put(self, length: int) -> None:
        self._memo[self._number(length)] = self._stack[-1]

    def put_line(self) -> None:
        self._memo[int(self._line())] = self._stack[-1]

    def memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def get(self, length: int) -> None:
        self.push(self._memo[self._number(length)])

    def get_line(self) -> None:
        self.push(self._memo[int(self._line())])

    # Names and arrays

    def push_global(self) -> None:
        module = self._line().decode("utf-8")
        self.push(self._known(module, self._line().decode("utf-8")))

    def push_stack_global(self) -> None:
        attribute, module = self._stack.pop(), self._stack.pop()
        if not (isinstance(module, str) and isinstance(attribute, str)):
            raise TypeError("a name that is no text")
        self.push(self._known(module, attribute))

    def _known(self, module: str, attribute: str) -> _Global:
        known = _GLOBALS.get((module, attribute))
        if known is None:
            asked = f"{module}.{attribute}"[:120]
            raise DataError(
                f"{self._name}: refused: the pack asks Python for {asked!r}, which no pack of pictures needs; nothing "
                "was run, but other tools would run it"
            )
        return known

    def reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(arguments, tuple):
            raise TypeError("arguments that are no tuple")
        if function is _Global.RECONSTRUCT and arguments and arguments[0] is _Global.NDARRAY:
            self.push(PickledArray())
        elif function is _Global.DTYPE and arguments:
            self.push(PickledDtype(_text(arguments[0])))
        else:
            raise TypeError("calls what is neither an array nor an element type")

    def build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if not isinstance(state, tuple):
            raise TypeError("a state that is no tuple")
        if isinstance(target, PickledDtype) and len(state) >= 2:
            target.order = _text(state[1])
        elif isinstance(target, PickledArray) and len(state) == 5:
            _, shape, dtype, fortran, data = state
            if not (isinstance(shape, tuple) and isinstance(dtype, PickledDtype) and isinstance(data, bytes)):
                raise TypeError("an array without plain shape, element type and bytes")
            target.shape, target.dtype, target.fortran, target.data = shape, dtype, bool(fortran), data
        else:
            raise TypeError("a state for what is neither an array nor an element type")


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii")
    if not isinstance(value, str):
        raise TypeError("an element type that is no text")
    return value


# Instructions by the byte that stands for them; the standard library's ``pickletools`` describes each.
_INSTRUCTIONS: Final[dict[bytes, Callable[[_Machine], None]]] = {
    b"\x80": lambda m: m.skip(1),  # PROTO
    b"\x95": lambda m: m.skip(8),  # FRAME
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"K": lambda m: m.push_number(1, signed=False),  # BININT1
    b"M": lambda m: m.push_number(2, signed=False),  # BININT2
    b"J": lambda m: m.push_number(4, signed=True),  # BININT
    b"\x8a": lambda m: m.push_long(),  # LONG1
    b"I": lambda m: m.push_number_line(),
    b"L": lambda m: m.push_number_line(),
    b"U": lambda m: m.push_bytes(1),  # SHORT_BINSTRING
    b"T": lambda m: m.push_bytes(4),  # BINSTRING
    b"C": lambda m: m.push_bytes(1),  # SHORT_BINBYTES
    b"B": lambda m: m.push_bytes(4),  # BINBYTES
    b"\x8e": lambda m: m.push_bytes(8),  # BINBYTES8
    b"S": lambda m: m.push_bytes_line(),  # STRING
    b"\x8c": lambda m: m.push_text(1),  # SHORT_BINUNICODE
    b"X": lambda m: m.push_text(4),  # BINUNICODE
    b"V": lambda m: m.push_text_line(),  # UNICODE
    b"(": lambda m: m.mark(),
    b")": lambda m: m.push_tuple(0),
    b"\x85": lambda m: m.push_tuple(1),
    b"\x86": lambda m: m.push_tuple(2),
    b"\x87": lambda m: m.push_tuple(3),
    b"t": lambda m: m.push_tuple(None),
    b"]": lambda m: m.push([]),
    b"l": lambda m: m.push_list(),
    b"a": lambda m: m.append(many=False),
    b"e": lambda m: m.append(many=True),
    b"q": lambda m: m.put(1),  # BINPUT
    b"r": lambda m: m.put(4),  # LONG_BINPUT
    b"p": lambda m: m.put_line(),
    b"\x94": lambda m: m.memoize(),
    b"h": lambda m: m.get(1),  # BINGET
    b"j": lambda m: m.get(4),  # LONG_BINGET
    b"g": lambda m: m.get_line(),
    b"c": lambda m: m.push_global(),
    b"\x93": lambda m: m.push_stack_global(),
    b"R": lambda m: m.reduce(),
    b"b": lambda m: m.build(),
}
