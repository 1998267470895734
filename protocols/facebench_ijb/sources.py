"""Where a Janus benchmark lies below a data root: the layouts that users really have.

* InsightFace's release: ``meta/`` with text lists and five points for each picture, ``loose_crop/`` with the pictures.
* NIST's own: ``protocols/`` with CSV lists by test; pictures are whole photographs with a box for each face.
* IJB-A's splits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebench import DatasetMissing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One of the benchmarks.

    Attributes:
        name: What users type.
        folders: Where it may lie below the data root, in this order; ``.`` is the root itself.
        galleries: Names of the two galleries; empty for IJB-A, whose lists come in splits.
        official: How much the published lists hold: ``pictures``, ``templates``, ``pairs``; empty where that depends.
        headline: The false accept rate that comes first in a result.
        how_to_get: For the error when nothing is found.
    """

    name: str
    folders: tuple[str, ...]
    galleries: tuple[str, ...]
    official: Mapping[str, int]
    headline: float
    how_to_get: str


def _get(folder: str, galleries: str) -> str:
    lower = folder.lower()
    return (
        f"lay out InsightFace's IJB_release as {folder}/meta/{lower}_face_tid_mid.txt, {lower}_name_5pts_score.txt, "
        f"{lower}_template_pair_label.txt, {lower}_1N_gallery_{galleries}.csv, {lower}_1N_probe_mixed.csv and "
        f"{folder}/loose_crop/*.jpg, or NIST's lists as protocols/test1 and protocols/test4; "
        "NIST grants access to the pictures (nist.gov/programs-projects/face-challenges)"
    )


IJBB = Benchmark(
    name="ijbb",
    folders=("IJBB", "ijbb", "IJB-B", "IJB_release/IJBB", "ijb/IJBB", "IJB/IJBB", "IJB/IJB-B", "."),
    galleries=("S1", "S2"),
    official={"pictures": 227_630, "templates": 12_115, "pairs": 8_010_270},
    headline=1e-4,
    how_to_get=_get("IJBB", "S1/S2"),
)
IJBC = Benchmark(
    name="ijbc",
    folders=("IJBC", "ijbc", "IJB-C", "IJB_release/IJBC", "ijb/IJBC", "IJB/IJBC", "IJB/IJB-C", "."),
    galleries=("G1", "G2"),
    official={"pictures": 469_375, "templates": 23_124, "pairs": 15_658_489},
    headline=1e-4,
    how_to_get=_get("IJBC", "G1/G2"),
)
IJBA = Benchmark(
    name="ijba",
    folders=("IJBA", "ijba", "IJB-A", "."),
    galleries=(),
    official={},
    headline=1e-3,
    how_to_get="lay out NIST's lists as IJB-A/IJB-A_11_sets/split1/verify_metadata_1.csv and verify_comparisons_1.csv, "
    "optionally IJB-A/IJB-A_1N_sets/split1/search_gallery_1.csv and search_probe_1.csv; NIST grants access to IJB-A",
)

BENCHMARKS = {benchmark.name: benchmark for benchmark in (IJBA, IJBB, IJBC)}


@dataclass(frozen=True, slots=True)
class ReleaseFiles:
    """InsightFace's release; None where a file is not there.

    Attributes:
        members: Picture, template and media of each line.
        points: Picture, five points and detector score of each line.
        pairs: Templates to compare.
        galleries: CSV lists by gallery.
        probes: CSV list.
        crops: The folder of pictures.
    """

    members: Path
    points: Path | None
    pairs: Path | None
    galleries: Mapping[str, Path]
    probes: Path | None
    crops: Path | None
    missing: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class NistFiles:
    """NIST's CSV lists.

    Attributes:
        verified: Lists whose templates the 1:1 pairs name.
        matches: Pairs of template ids, or None.
        galleries: Lists by gallery.
        probes: The list of probes, or None.
        missing: Files of the other protocol that are not there.
        pictures: Where aligned pictures may lie.
    """

    verified: tuple[Path, ...]
    matches: Path | None
    galleries: Mapping[str, Path]
    probes: Path | None
    missing: tuple[Path, ...] = ()
    pictures: tuple[Path, ...] = ()


def look(benchmark: Benchmark, root: Path, *, split: int = 1) -> ReleaseFiles | NistFiles:
    """Finds a benchmark's lists below the data root.

    Args:
        benchmark: Which.
        root: The data root.
        split: Of IJB-A.

    Raises:
        DatasetMissing: With every place that was tried.
    """
    tried: list[Path] = []
    for folder in benchmark.folders:
        base = root / folder
        release = [] if not benchmark.galleries else [base / "meta", base]
        for meta in release:
            members = meta / f"{benchmark.name}_face_tid_mid.txt"
            tried.append(members)
            if members.is_file():
                return _release(benchmark, meta, base)
        for candidate in _nist(benchmark, base, split):
            found = _present(candidate)
            if found is not None:
                return found
            tried += [*candidate.verified, *candidate.galleries.values()][:1]
    raise DatasetMissing(benchmark.name, tried, benchmark.how_to_get)


def _release(benchmark: Benchmark, meta: Path, base: Path) -> ReleaseFiles:
    name = benchmark.name
    pairs = meta / f"{name}_template_pair_label.txt"
    galleries = {gallery: meta / f"{name}_1N_gallery_{gallery}.csv" for gallery in benchmark.galleries}
    probes = meta / f"{name}_1N_probe_mixed.csv"
    points = meta / f"{name}_name_5pts_score.txt"
    searches = (*galleries.values(), probes)
    searched = all(path.is_file() for path in searches)
    if not pairs.is_file() and not searched:
        raise DatasetMissing(name, [pairs, *searches], benchmark.how_to_get)
    return ReleaseFiles(
        members=meta / f"{name}_face_tid_mid.txt",
        points=points if points.is_file() else None,
        pairs=pairs if pairs.is_file() else None,
        galleries=galleries if searched else {},
        probes=probes if searched else None,
        crops=base / "loose_crop" if (base / "loose_crop").is_dir() else None,
        missing=tuple(path for path in (points, pairs, *searches) if not path.is_file()),
    )


def _nist(benchmark: Benchmark, base: Path, split: int) -> Iterator[NistFiles]:
    """The names that NIST's lists go by, whether or not they are there."""
    name = benchmark.name
    pictures = (base / "aligned_112x112", base / "aligned_112x112.tar")
    if not benchmark.galleries:
        for one, many in (("IJB-A_11_sets", "IJB-A_1N_sets"), ("", "")):
            one_to_one, one_to_many = base / one / f"split{split}", base / many / f"split{split}"
            yield NistFiles(
                verified=(one_to_one / f"verify_metadata_{split}.csv",),
                matches=one_to_one / f"verify_comparisons_{split}.csv",
                galleries={"gallery": one_to_many / f"search_gallery_{split}.csv"},
                probes=one_to_many / f"search_probe_{split}.csv",
                pictures=pictures,
            )
        return
    for folder in (base / "protocols", base / "protocol"):
        test1, test4 = folder / "test1", folder / "test4"
        yield NistFiles(
            verified=(test1 / "enroll_templates.csv", test1 / "verif_templates.csv"),
            matches=test1 / "match.csv",
            galleries={gallery: test4 / f"gallery_{gallery}.csv" for gallery in benchmark.galleries},
            probes=test4 / "probes.csv",
            pictures=pictures,
        )
        galleries = {gallery: folder / f"{name}_1N_gallery_{gallery}.csv" for gallery in benchmark.galleries}
        probes = folder / f"{name}_1N_probe_mixed.csv"
        yield NistFiles(
            verified=(*galleries.values(), probes),
            matches=folder / f"{name}_11_{'_'.join(benchmark.galleries)}_matches.csv",
            galleries=galleries,
            probes=probes,
            pictures=pictures,
        )


def _present(candidate: NistFiles) -> NistFiles | None:
    """What of it is there: a whole protocol at least, else None."""
    verifying = (*candidate.verified, *((candidate.matches,) if candidate.matches else ()))
    searching = (*candidate.galleries.values(), *((candidate.probes,) if candidate.probes else ()))
    verified = all(path.is_file() for path in verifying)
    searched = all(path.is_file() for path in searching)
    if not verified and not searched:
        return None
    return NistFiles(
        verified=candidate.verified if verified else (),
        matches=candidate.matches if verified else None,
        galleries=candidate.galleries if searched else {},
        probes=candidate.probes if searched else None,
        missing=tuple(dict.fromkeys(path for path in (*verifying, *searching) if not path.is_file())),
        pictures=candidate.pictures,
    )
