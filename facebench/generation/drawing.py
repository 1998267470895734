"""What is to be drawn: how many faces, in which form, and how they are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from facebench.datasets.writing import IMAGES, SUFFIX, Encoding
from facebench.errors import ConfigError

Form = Literal["folder", "tar", "recordio"]

# Pictures of a block, unless told otherwise: enough to keep a GPU busy, 40 MB at 112 x 112.
_PICTURES: Final = 1024


@dataclass(frozen=True, slots=True)
class Drawing:
    """A data set to be drawn.

    Attributes:
        identities: N, people.
        images_per_id: M, pictures of each.
        form: ``folder``: ``images/PERSON/PICTURE``; ``tar``: shards of a block each; ``recordio``: InsightFace's
            ``train.rec``.
        encoding: ``jpeg``, or ``png``, which loses nothing.
        quality: Of JPEG.
        block: Identities rendered at a time; 0 takes as many as make about a thousand pictures.
        seed: Decides everything.

    Raises:
        ConfigError: When a value cannot be meant.
    """

    identities: int
    images_per_id: int
    form: Form = "folder"
    encoding: Encoding = "jpeg"
    quality: int = 95
    block: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses what cannot be meant."""
        if self.form not in get_args(Form) or self.encoding not in get_args(Encoding):
            known = ", ".join((*get_args(Form), *get_args(Encoding)))
            raise ConfigError(f"unknown form {self.form!r} or encoding {self.encoding!r} of faces; known: {known}")
        if min(self.identities, self.images_per_id) < 1 or min(self.block, self.seed) < 0:
            raise ConfigError(
                f"{self.identities} identities x {self.images_per_id} pictures in blocks of {self.block} with seed "
                f"{self.seed} cannot be drawn; there must be at least one of each, and block and seed not below 0"
            )
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"the quality of JPEG pictures must lie in 1..100, found {self.quality}")

    @property
    def people(self) -> int:
        """Identities of a block."""
        return self.block or max(1, _PICTURES // self.images_per_id)

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.identities // self.people)

    @property
    def faces(self) -> int:
        """How many pictures there will be."""
        return self.identities * self.images_per_id

    def stretch(self, block: int) -> range:
        """The identities of one block."""
        return range(block * self.people, min((block + 1) * self.people, self.identities))

    def keys(self, block: int) -> list[str]:
        """``PERSON/PICTURE`` of each picture of one block; as text and as numbers they have one order."""
        person, picture = max(6, len(str(self.identities - 1))), max(3, len(str(self.images_per_id - 1)))
        places = [f"{place:0{picture}d}" for place in range(self.images_per_id)]
        return [f"{who:0{person}d}/{place}" for who in self.stretch(block) for place in places]

    def files(self, block: int) -> list[str]:
        """The same with the extension of the encoding."""
        return [f"{key}{SUFFIX[self.encoding]}" for key in self.keys(block)]

    def shard(self, block: int) -> str:
        """The name of a block's tar."""
        return f"shard-{block:0{max(5, len(str(self.blocks - 1)))}d}.tar"

    @property
    def left(self) -> tuple[str, ...]:
        """What the pictures are called in the folder, in the end."""
        if self.form == "folder":
            return (IMAGES,)
        if self.form == "recordio":
            return "train.rec", "train.idx", "property"
        return tuple(self.shard(block) for block in range(self.blocks))

    @property
    def document(self) -> dict[str, Any]:
        """Plain values that say all of it; the encoding's quality only where it has one."""
        return {
            "identities": self.identities,
            "images_per_id": self.images_per_id,
            "form": self.form,
            "encoding": self.encoding,
            **({"quality": self.quality} if self.encoding == "jpeg" else {}),
            "block": self.people,
            "seed": self.seed,
        }
