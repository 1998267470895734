"""Sets that are evaluated group by group: an accuracy for each group, their mean, and how far they lie apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebench import Evaluation
from facebench_verification.curves import histogram, roc
from facebench_verification.numbers import measure, measure_norm, metric, rate_interval
from facebench_verification.protocol import Verification, fold_numbers, fold_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from facebench import Metric
    from facebench_verification.numbers import Comparison, FoldRule, Measured
    from facebench_verification.pairs import Pairs

_RULES = {
    "accuracy": "mean of the groups' accuracies, each with thresholds of its own folds as InsightFace's "
    "verification.py chooses them (reference), or with the best score itself (strict)",
    "accuracy-group-std": "sample standard deviation (ddof 1) of the groups' accuracies, as RFW's tables print it; the "
    "population one stands beside it",
    "accuracy-group-gap": "highest minus lowest accuracy of a group",
    "error-ratio": "highest error of a group over the lowest (skewed error ratio); 1 is even",
    "groups": "as the data set's authors assigned them; facebench infers nothing about anybody",
}

# What is told of every group, the same kinds side by side.
_KINDS = ("accuracy", "threshold", "tar@far", "auc")


class GroupVerification(Verification):
    """A verification set of several groups, each with folds and thresholds of its own (RFW)."""

    def fold(self, comparison: Comparison, pairs: Pairs) -> npt.NDArray[np.int64] | None:
        """Folds of each group by itself, from 0 in every one."""
        if pairs.group is None:
            return super().fold(comparison, pairs)
        found = np.empty(len(pairs), dtype=np.int64)
        for name in np.unique(pairs.group):
            chosen = pairs.group == name
            found[chosen] = fold_numbers(comparison.only(chosen))
        return found

    def judge(self, comparison: Comparison, single: Comparison | None, pairs: Pairs, *, seed: int) -> Evaluation:
        """The mean over groups first, then their spread, then every group by itself."""
        if pairs.group is None:
            return super().judge(comparison, single, pairs, seed=seed)
        names = list(dict.fromkeys(pairs.group.tolist()))
        parts = {name: comparison.only(pairs.group == name) for name in names}
        measured = {
            name: measure(part, far=self.options.far, samples=self.options.samples, seed=seed)
            for name, part in parts.items()
        }
        metrics = [*_overall(comparison, parts, "reference"), *_overall(comparison, parts, "strict")]
        if single is not None:
            alone = {name: single.only(pairs.group == name) for name in names}
            metrics.extend(_overall(single, alone, "reference"))
        for kind in _KINDS:
            for name, found in measured.items():
                metrics.extend(_named(one, name) for one in found.metrics if one.name.startswith(kind))
        metrics.append(measure_norm(comparison))
        series = [line.model_copy(update={"name": name}) for name, part in parts.items() for line in roc(part).series]
        threshold = float(np.mean([found.threshold for found in measured.values()]))
        return Evaluation(
            metrics=tuple(metrics),
            curves=(
                roc(comparison).model_copy(update={"series": tuple(series)}),
                histogram(comparison, threshold),
            ),
            folds=_folds(measured),
            counts={f"pairs/{name}": len(part.same) for name, part in parts.items()} | {"groups": len(names)},
            rules=_RULES | {"folds": f"{fold_words(replace(comparison, fold=None))} in each group"},
        )

    def judge_likelihood(self, likely: Comparison, pairs: Pairs, *, seed: int) -> tuple[Metric, ...]:
        """The mean over groups, their spread, then every group by itself, as for cosines."""
        if pairs.group is None:
            return super().judge_likelihood(likely, pairs, seed=seed)
        names = list(dict.fromkeys(pairs.group.tolist()))
        parts = {name: likely.only(pairs.group == name) for name in names}
        measured = {
            name: super(GroupVerification, self).judge_likelihood(part, pairs, seed=seed)
            for name, part in parts.items()
        }
        metrics = _overall(likely, parts, "strict")
        for kind in _KINDS:
            for name, found in measured.items():
                metrics.extend(_named(one, name) for one in found if one.name.startswith(kind))
        return tuple(metrics)


def _named(one: Metric, group: str) -> Metric:
    """A metric under its group's name; a spread keeps the ending that marks it as one."""
    base, spread = one.name.removesuffix("-std"), "-std" if one.name.endswith("-std") else ""
    return one.model_copy(update={"name": f"{base}/{group}{spread}"})


def _folds(measured: Mapping[str, Measured]) -> dict[str, Sequence[float]]:
    return {f"{kind}/{name}": values for name, found in measured.items() for kind, values in found.folds.items()}


def _overall(whole: Comparison, parts: Mapping[str, Comparison], rule: FoldRule) -> list[Metric]:
    """Mean, spread and error ratio over the groups."""
    found = {name: part.accuracy(rule) for name, part in parts.items()}
    values = np.array([one.mean for one in found.values()])
    # Fold k of one group shares nobody with fold k of another, so the mean of both is one draw of the mean.
    by_fold = np.mean([one.folds for one in found.values()], axis=0)
    detail = {name: one.mean for name, one in found.items()}
    errors = {name: 1.0 - one.mean for name, one in found.items()}
    worst, best = max(errors, key=errors.__getitem__), min(errors, key=errors.__getitem__)
    ends = {"highest": best, "lowest": worst}
    ratio = errors[worst] / errors[best] if errors[best] > 0 else None
    reason = None if errors[best] > 0 else f"group {best} has no error to divide by"
    return [
        metric(whole, "accuracy", float(values.mean()), rule=rule, interval=rate_interval(by_fold), detail=detail),
        metric(
            whole,
            "accuracy-group-std",
            float(values.std(ddof=1)),
            rule=rule,
            higher_is_better=False,
            detail={"population": float(values.std())},
        ),
        metric(whole, "accuracy-group-gap", float(np.ptp(values)), rule=rule, higher_is_better=False, detail=ends),
        metric(
            whole, "error-ratio", ratio, reason=reason, rule=rule, unit="ratio", higher_is_better=False, detail=ends
        ),
    ]
