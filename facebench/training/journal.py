"""What a training has seen and measured: for the state on disk, for tables, for TensorBoard."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facebench.errors import FacebenchError, MissingExtra
from facebench.ranks import world
from facebench.store import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

STOPPED = "stopped.json"


@dataclass(slots=True)
class Journal:
    """Where a training stands, in plain values.

    Attributes:
        epoch: Complete epochs.
        step: Complete steps of the current epoch.
        faces: Faces seen in them.
        seconds: Time they took.
        sums: Values summed over those faces.
        rows: The values of each complete epoch.
        points: The values of single steps, as often as was asked for.
        best: Epoch and score of the best network so far, if any was validated.
        unreadable: Pictures that could not be read so far.
    """

    epoch: int = 0
    step: int = 0
    faces: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)
    points: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    def add(self, values: Mapping[str, float], faces: int, seconds: float) -> None:
        """Enters one step."""
        self.step += 1
        self.faces += faces
        self.seconds += seconds
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * faces

    def close_epoch(self, **more: float) -> dict[str, float]:
        """Ends the epoch and returns its values: means over its faces, and what else is said."""
        values = {name: total / self.faces for name, total in self.sums.items()}
        values |= more | {"images_per_second": self.faces / max(self.seconds, 1e-9)}
        self.epoch, self.step, self.faces, self.seconds, self.sums = self.epoch + 1, 0, 0, 0.0, {}
        return values


class Tables:
    """``metrics.csv``, a line for each epoch; ``steps.csv``, a line for some steps; and TensorBoard's own form.

    Args:
        folder: Where.
        tensorboard: Whether to write TensorBoard's form below ``folder/tensorboard``.

    Raises:
        MissingExtra: When TensorBoard is not installed.
    """

    def __init__(self, folder: Path, *, tensorboard: bool) -> None:
        self._folder = folder
        self._board: Any = _board(folder / "tensorboard") if tensorboard else None

    def write(self, journal: Journal) -> None:
        """Writes both tables anew, so that no resumption can leave a line out or enter it twice."""
        for name, rows in (("metrics.csv", journal.rows), ("steps.csv", journal.points)):
            if rows:
                write_text(self._folder / name, as_csv(rows))

    def show(self, values: Mapping[str, float], *, step: int, part: str) -> None:
        """Adds points to TensorBoard's curves, if it is written."""
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{part}/{name}", value, step)

    def close(self) -> None:
        """Finishes TensorBoard's files."""
        if self._board is not None:
            self._board.close()


def as_csv(rows: Sequence[Mapping[str, float]]) -> str:
    """Rows of values as CSV; a value that a row has not is left empty."""
    names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    text = io.StringIO()
    table = csv.DictWriter(text, names, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def not_finite(folder: Path, values: Mapping[str, float], *, epoch: int, step: int, keys: list[str]) -> FacebenchError:
    """What to say of a training whose numbers are none; leaves what someone needs who wants to know why.

    Args:
        folder: Receives ``stopped.json`` with the values of the step and the keys of its faces.
        values: Of the step; one at least is NaN or infinite.
        epoch: From 1.
        step: From 1.
        keys: Of the step's faces.
    """
    if world().first:
        shown = {name: str(value) for name, value in values.items()}
        told = {"epoch": epoch, "step": step, "values": shown, "faces": keys}
        write_text(folder / STOPPED, json.dumps(told, indent=1) + "\n")
    wrong = next(name for name, value in values.items() if not math.isfinite(value))
    some = ", ".join(keys[:4]) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
    return FacebenchError(
        f"training stopped: {wrong} is {values[wrong]} in epoch {epoch}, step {step} (faces {some}; all of them in "
        f"{folder / STOPPED}); try a lower learning rate, a warm-up or float32"
    )


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtra("TensorBoard curves", "tracking") from None
    return SummaryWriter(str(folder))
