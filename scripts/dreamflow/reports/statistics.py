"""Estimates of means, differences, agreement and variance from arrays. An estimate that is undefined is NaN, not 0."""

from typing import NamedTuple

import numpy as np

from .groups import Groups

LEVEL = 0.95


class Estimate(NamedTuple):
    """A mean of `n` values in a number of independent `clusters`, and its interval."""

    mean: float
    low: float
    high: float
    n: int
    clusters: int


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95% interval (low, high) of a share of `successes` among `n` > 0 independent trials.

    Wilson's interval (1927, Journal of the American Statistical Association 22, 209-212) is not empty at 0 and 1. If
    trials come in groups of similar trials, the true interval is wider.
    """
    from scipy.stats import binomtest  # takes a second to import

    interval = binomtest(successes, n).proportion_ci(LEVEL, "wilson")
    return float(interval.low), float(interval.high)


def t_quantile(degrees: np.ndarray | float) -> np.ndarray | float:
    """The two-sided 95% point of Student's t; NaN below one degree of freedom."""
    from scipy.special import stdtrit  # imported late, as krippendorff below: shares need neither

    return stdtrit(np.where(np.asarray(degrees) < 1, np.nan, degrees), (1 + LEVEL) / 2)


def clustered_mean(values: np.ndarray, clusters: np.ndarray, bounds: tuple[float, float] | None = None) -> Estimate:
    """The mean of `values` (n,) with a 95% interval for values that are correlated within clusters.

    With residuals e = value - mean, summed within each of G clusters, the cluster-robust standard error of the mean is
        SE = sqrt(G / (G - 1) * sum_g (sum_i e_gi)^2) / n
    (Miller 2024, arXiv 2411.00640, with the usual small-sample factor G / (G - 1); with one value per cluster it is
    s / sqrt(n)). The interval is mean ± t(G - 1) SE, cut at `bounds`. With fewer than two clusters it is NaN.
    """
    values = np.asarray(values, dtype=float)
    _, member = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    (estimate,) = clustered_means(values, member, Groups(np.zeros(len(values), dtype=int), 1), bounds)
    return estimate


def clustered_means(
    values: np.ndarray, clusters: np.ndarray, groups: Groups, bounds: tuple[float, float] | None = None
) -> list[Estimate]:
    """The `clustered_mean` of the values (n,) of each group. `clusters` (n,) are whole numbers from 0."""
    pairs, pair = np.unique(groups.number * (clusters.max(initial=0) + 1) + clusters, return_inverse=True)
    parts = Groups(pairs // (clusters.max(initial=0) + 1), groups.n)  # a row for each cluster of a group
    n, g = groups.counts, parts.counts
    low, high = bounds or (-np.inf, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):  # groups without values, or with one cluster
        mean = groups.sums(values) / n
        residuals = np.bincount(pair, weights=values - mean[groups.number], minlength=len(pairs))
        half = t_quantile(g - 1) * (np.sqrt(g / (g - 1) * parts.sums(residuals**2)) / n)
        ends = np.maximum(low, mean - half), np.minimum(high, mean + half)
    columns = (column.tolist() for column in (mean, *ends, n, g))
    return [Estimate(*fields) for fields in zip(*columns, strict=True)]


def paired_difference(first: np.ndarray, second: np.ndarray, clusters: np.ndarray) -> Estimate:
    """The clustered mean of first - second (scores in 0-1) over pairs in which everything else is equal.

    Pairing removes the effects that both sides share (the combination, the evaluator), so the interval is much narrower
    than that of two separate means (Miller 2024, arXiv 2411.00640).
    """
    return clustered_mean(np.asarray(first) - np.asarray(second), clusters, (-1.0, 1.0))


def krippendorff_alpha(ratings: np.ndarray) -> float:
    """Krippendorff's alpha, interval metric; `ratings` is (evaluators, texts), with NaN for a missing rating.

    1 is perfect agreement, 0 chance agreement, below 0 systematic disagreement (Krippendorff, Content Analysis, ch.12).
    NaN if no text has two ratings, or if all comparable ratings are equal.
    """
    ratings = np.round(np.asarray(ratings, dtype=float), 10)
    comparable = ratings[:, (~np.isnan(ratings)).sum(axis=0) >= 2]
    if len(np.unique(comparable[~np.isnan(comparable)])) < 2:
        return np.nan
    import krippendorff

    return float(krippendorff.alpha(reliability_data=comparable, level_of_measurement="interval"))


def variance_components(values: np.ndarray, texts: np.ndarray, evaluators: np.ndarray) -> dict[str, float]:
    """Variance of scores (n,) due to the text, the evaluator, their interaction, and replicates.

    Random effects, texts crossed with evaluators, any cells missing: score = mean + text + evaluator + interaction +
    replicate. Half the mean squared difference of two scores estimates the variance of the effects that they do not
    share:
        same text, same evaluator        replicate
        same text, other evaluator       replicate + interaction + evaluator
        other text, same evaluator       replicate + interaction + text
        other text, other evaluator      replicate + interaction + text + evaluator
    (Koch 1968, Technometrics 10, 551-558; unbiased, and in balanced data equal to the analysis of variance). Read an
    estimate below 0 as 0. If no evaluator scored a text twice, `interaction` includes `replicate`, which is then NaN.
    """
    x = np.asarray(values, dtype=float)
    texts, evaluators = np.asarray(texts, dtype=str), np.asarray(evaluators, dtype=str)
    names = ("text", "evaluator", "interaction", "replicate")
    if len(x) < 2:
        return dict.fromkeys(names, np.nan)
    x = x - x.mean()
    text, judge = (np.unique(labels, return_inverse=True)[1] for labels in (texts, evaluators))
    cell = text * (judge.max() + 1) + judge
    within_cell, within_text, within_judge = (_pairs(x, group) for group in (cell, text, judge))
    everything = _pairs(x, np.zeros(len(x), dtype=int))
    same_both = _half_mean(within_cell)
    same_text = _half_mean(within_text - within_cell)
    same_judge = _half_mean(within_judge - within_cell)
    neither = _half_mean(everything - within_text - within_judge + within_cell)
    rest = same_text + same_judge - neither
    return {
        "text": neither - same_text,
        "evaluator": neither - same_judge,
        "interaction": rest if np.isnan(same_both) else rest - same_both,
        "replicate": same_both,
    }


def _pairs(x: np.ndarray, group: np.ndarray) -> np.ndarray:
    """[sum of squared differences, number] of the unordered pairs within groups, by m sum(x^2) - (sum x)^2."""
    counts = np.bincount(group)
    sums, squares = np.bincount(group, weights=x), np.bincount(group, weights=x**2)
    return np.array([(counts * squares - sums**2).sum(), (counts * (counts - 1) / 2).sum()])


def _half_mean(pairs: np.ndarray) -> float:
    total, number = pairs
    return float(total / number / 2) if number >= 0.5 else np.nan
