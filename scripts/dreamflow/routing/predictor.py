"""How likely each model is to succeed on this prompt: a hierarchical logistic regression over features and contexts.

Every feature has an effect that all models share (how hard such prompts are) and a small effect of each model (what it
is good at). So a model learns from the answers of the others: most of what separates prompts is how hard they are, and
of a hard prompt the difference between models is the larger. The two variances are estimated from the evidence.

Source: Gelman et al., Bayesian Data Analysis (3rd ed.), chapters 13.3 and 16; Laplace approximation and evidence:
Bishop, Pattern Recognition and Machine Learning, 4.4-4.5; effects of a model as deviations from shared ones: Evgeniou
and Pontil 2004, Regularized Multi-Task Learning; the shared difficulty is Rasch's.
"""

from typing import Any, NamedTuple

import numpy as np

SHARED = 0.5  # variance of the effects that all models share
OWN_CONTEXT = (0.01, 0.04, 0.16, 0.64)  # variances to choose from, of a model's deviation from them: of contexts ...
OWN_TEXT = (0.005, 0.02, 0.08, 0.3, 1.2)  # ... and of other features,
TYPICAL_OWN = 0.02  # both with a prior density of 1 / (1 + variance / this)**2
INTERCEPT = (4.0, 1.0)  # the same of the intercept, in logits: fixed
_STEPS, _TOLERANCE = 30, 1e-4
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)


class Predictor(NamedTuple):
    """A normal posterior over the effects: mean (models x features), covariance of the flattened mean."""

    mean: Any
    covariance: Any
    variances: tuple[float, float]  # of a model's deviations: contexts, other features
    contexts: int  # the first so many features are indicators of contexts


def prior(models: int, width: int, contexts: int = 0) -> Predictor:
    """What is believed of `models` models before any evidence, for `width` features of which the first are contexts."""
    variances = OWN_CONTEXT[1], OWN_TEXT[0]
    covariance = _prior_covariance(models, width, contexts, variances)
    return Predictor(np.zeros((models, width + 1)), covariance, variances, contexts)


def fit(x: Any, model: Any, outcome: Any, models: int, contexts: int = 0, weight: Any = None) -> Predictor:
    """The posterior given outcomes in [0, 1] of the models numbered `model` on prompts with features `x`.

    The variances are those with the greatest evidence. The order of the rows does not matter.
    """
    x = _with_intercept(x)
    model, outcome = np.asarray(model), np.asarray(outcome, dtype=float)
    weight = np.ones(len(outcome)) if weight is None else np.asarray(weight, dtype=float)
    rows = [np.flatnonzero(model == number) for number in range(models)]
    best = prior(models, x.shape[1] - 1, contexts)
    greatest = -np.inf
    searched = [(place, value) for place, values in enumerate((OWN_CONTEXT, OWN_TEXT)) for value in values]
    for place, value in searched:  # one variance after the other
        if (contexts, x.shape[1] - 1 - contexts)[place]:
            variances = (value, best.variances[1]) if place == 0 else (best.variances[0], value)
            fitted, evidence = _laplace(x, rows, outcome, weight, best._replace(variances=variances))
            if evidence > greatest:
                best, greatest = fitted, evidence
    return best


def update(predictor: Predictor, x: Any, model: Any, outcome: Any) -> Predictor:
    """The posterior after a few more outcomes: one step of an extended Kalman filter, without a new fit."""
    x = _with_intercept(x)
    models, width = predictor.mean.shape
    rows = np.arange(len(x))
    design = np.zeros((len(x), models, width))
    design[rows, model] = x
    design = design.reshape(len(x), -1)
    projected = predictor.covariance @ design.T
    inner = design @ projected
    logit = design @ predictor.mean.ravel()
    expected = _sigmoid(logit / np.sqrt(1 + np.pi * np.diag(inner) / 8))
    curvature = np.maximum(expected * (1 - expected), 1e-4)
    gain = np.linalg.solve(inner + np.diag(1 / curvature), projected.T)
    mean = predictor.mean + (((outcome - expected) / curvature) @ gain).reshape(models, width)
    return predictor._replace(mean=mean, covariance=predictor.covariance - projected @ gain)


def logits(predictor: Predictor, x: Any) -> tuple[Any, Any]:
    """(mean, variance) of the logit of success, each prompts x models."""
    x = _with_intercept(x)
    models, width = predictor.mean.shape
    blocks = predictor.covariance.reshape(models, width, models, width)
    own = [blocks[number, :, number] for number in range(models)]
    variance = np.stack([np.einsum("nd,nd->n", x @ block, x) for block in own], axis=1)
    return x @ predictor.mean.T, np.maximum(variance, 1e-9)


def expected(predictor: Predictor, x: Any) -> Any:
    """The expected outcome, prompts x models."""
    mean, variance = logits(predictor, x)
    return _sigmoid(mean / np.sqrt(1 + np.pi * variance / 8))


def beta(predictor: Predictor, x: Any) -> tuple[Any, Any]:
    """(alpha, beta) of Beta distributions to draw from for a choice between models, each prompts x models.

    Their means are the expected outcomes. Their variances leave out what is uncertain of all models alike, such as how
    hard the prompt is: independent draws then differ as much as models are uncertain to differ.
    """
    x = _with_intercept(x)
    models, width = predictor.mean.shape
    blocks = predictor.covariance.reshape(models, width, models, width)
    joint = np.einsum("nd,mdke,ne->nmk", x, blocks, x, optimize=True)
    total = np.maximum(np.einsum("nmm->nm", joint), 1e-9)
    own = total
    if models > 1:
        shared = joint.mean(axis=2)
        own = (total - 2 * shared + shared.mean(axis=1, keepdims=True)) * models / (models - 1)
        own = np.clip(own, 1e-9, None)
    mean = x @ predictor.mean.T
    first = np.clip(_sigmoid(mean / np.sqrt(1 + np.pi * total / 8)), 1e-6, 1 - 1e-6)
    values = _sigmoid(mean[..., None] + np.sqrt(own)[..., None] * _NODES)
    weights = _WEIGHTS / _WEIGHTS.sum()
    centre = values @ weights
    variance = np.maximum(((values - centre[..., None]) ** 2) @ weights, 1e-12)
    size = np.maximum(first * (1 - first) / variance - 1, 0.1)
    return first * size, (1 - first) * size


def _laplace(x: Any, rows: list, outcome: Any, weight: Any, start: Predictor) -> tuple[Predictor, float]:
    models, width = len(rows), x.shape[1]
    covariance = _prior_covariance(models, width - 1, start.contexts, start.variances)
    precision = np.linalg.inv(covariance)
    mean = start.mean.ravel()
    for _ in range(_STEPS):
        hessian, gradient = precision.copy(), -precision @ mean
        for number, mine in enumerate(rows):
            place = slice(number * width, (number + 1) * width)
            chance = _sigmoid(x[mine] @ mean[place])
            curvature = weight[mine] * np.maximum(chance * (1 - chance), 1e-6)
            hessian[place, place] += (x[mine] * curvature[:, None]).T @ x[mine]
            gradient[place] += x[mine].T @ (weight[mine] * (outcome[mine] - chance))
        step = np.linalg.solve(hessian, gradient)
        mean = mean + step * min(1.0, 3 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < _TOLERANCE:
            break
    likelihood = 0.0
    for number, mine in enumerate(rows):
        logit = x[mine] @ mean[number * width : (number + 1) * width]
        likelihood += float(weight[mine] @ (outcome[mine] * logit - np.logaddexp(0, logit)))
    complexity = np.linalg.slogdet(hessian)[1] + np.linalg.slogdet(covariance)[1]
    likelihood -= 2 * float(np.log1p(np.array(start.variances) / TYPICAL_OWN).sum())
    evidence = likelihood - 0.5 * float(mean @ precision @ mean) - 0.5 * complexity
    return start._replace(mean=mean.reshape(models, width), covariance=np.linalg.inv(hessian)), evidence


def _prior_covariance(models: int, width: int, contexts: int, variances: tuple[float, float]) -> Any:
    shared = np.diag([*[SHARED] * width, INTERCEPT[0]])
    own = np.diag([*[variances[0]] * contexts, *[variances[1]] * (width - contexts), INTERCEPT[1]])
    return np.kron(np.ones((models, models)), shared) + np.kron(np.eye(models), own)


def _with_intercept(x: Any) -> Any:
    x = np.asarray(x, dtype=float)
    return np.hstack([x, np.ones((len(x), 1))])


def _sigmoid(logit: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
