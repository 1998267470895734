"""What a reader of a leaderboard should know, said once for both formats."""

from __future__ import annotations

EXPLANATIONS: tuple[tuple[str, str], ...] = (
    (
        "What stands together",
        "A table holds one protocol on one data set. Results on other images or other lists, told by the data's "
        "fingerprint, get a table of their own.",
    ),
    (
        "Values",
        "Rates are in percent. The best value of a column is bold. Values that are equal as shown share a rank; a rank "
        "follows the first column and is no test of significance: where intervals overlap, the order may be chance.",
    ),
    (
        "± and [low, high]",
        "± is the standard deviation over the folds of a cross-validation: it tells how folds differ, not how "
        "certain their mean is. Brackets hold a 95 % confidence interval unless another level is given; how it was "
        "found stands in the details.",
    ),
    (
        "Rules: reference and strict",
        "The published tables' code sometimes lets a threshold pass slightly more false accepts than the rate it is "
        "named for. The rule reference repeats that code, so that values can be compared with published ones; strict "
        "never goes above the named rate. Tables show reference where a protocol has it, the details show all rules.",
    ),
    (
        "Mirror",
        "Many published figures fuse a face with its mirror image: sum adds the two vectors, concat joins them, none "
        "uses the face alone. Compare rows of the same fusion.",
    ),
    (
        "Demo",
        "Tables marked demo come from built-in drawn faces that show no real person. They prove that a method runs and "
        "learns; they say nothing of its quality on real faces and never share a table with real data.",
    ),
    (
        "A dash",
        "A value that could not be computed honestly is missing, and its note says why.",
    ),
)
