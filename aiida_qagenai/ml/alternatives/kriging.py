"""Autoregressive co-kriging of two levels (M. C. Kennedy, A. O'Hagan, Biometrika 87, 1 (2000)), by GPyTorch.

After linear trends are removed, f_high(x) = ρ f_low(x) + δ(x) with two independent Gaussian processes; ρ, both kernels
and the noise are those of largest likelihood for the labels of both levels together.
"""

from __future__ import annotations

import importlib.util
import typing as t
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.ml.alternatives.problem import Prediction, Predictor, Problem
from aiida_qagenai.ml.alternatives.regressions import MIN_PROCESS, Trend, components, linear

__all__ = ('co_kriging', 'require_gpytorch')

STEPS = 30
RATE = 0.15
MAX_LABELS = 300
"""Labels of each level that are used, drawn with the seed: the cost grows with the cube of their number."""


def require_gpytorch() -> None:
    """Check that GPyTorch can be imported.

    :raises InvalidInputError: if it is not installed.
    """
    if importlib.util.find_spec('gpytorch') is None:
        message = "the arm `co-kriging` needs GPyTorch: pip install 'aiida-qagenai[kriging]', or leave the arm out"
        raise InvalidInputError(message)


def co_kriging(problem: Problem) -> Predictor:
    """Return the co-kriging of the target and the level below it.

    :raises InvalidInputError: if GPyTorch is not installed.
    """
    require_gpytorch()
    if len(problem.known) < MIN_PROCESS:
        return linear(problem)
    low_labels, below = problem.energies[:, -2], problem.below
    low_trend = Trend(problem.fractions, low_labels).values
    rest = Trend(np.column_stack([problem.fractions, below]), problem.target - below).values
    # Where the level below has no label its trend stands in; what is left of both levels is one joint process.
    low = low_labels - low_trend
    high_trend = low_trend + rest
    high = problem.target - high_trend
    rows_low, rows_high = (_some(np.flatnonzero(np.isfinite(each)), problem.seed) for each in (low, high))
    places = components(problem)
    scale = max(float(np.concatenate([low[rows_low], high[rows_high]]).std()), 1e-6)
    inputs = np.concatenate([_inputs(places[rows_low], 0), _inputs(places[rows_high], 1)])
    targets = np.concatenate([low[rows_low], high[rows_high]]) / scale
    posterior = _fitted(torch.as_tensor(inputs), torch.as_tensor(targets), problem.seed)

    def predict(rows: NDArray[np.int64]) -> Prediction:
        mean, deviation = posterior(torch.as_tensor(_inputs(places[rows], 1)))
        return Prediction(high_trend[rows] + scale * mean, scale * deviation)

    return predict


def _some(rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return at most ``MAX_LABELS`` of the rows."""
    return np.random.default_rng(seed).permutation(rows)[:MAX_LABELS]


def _inputs(places: NDArray[np.float64], level: int) -> NDArray[np.float64]:
    """Return the places with their level, 0 or 1, behind them, shape (n, d + 1)."""
    return np.column_stack([places, np.full(len(places), float(level))])


def _fitted(
    inputs: Tensor, targets: Tensor, seed: int
) -> t.Callable[[Tensor], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the posterior mean and deviation as a function of places, of the fit with the largest likelihood."""
    import gpytorch
    from linear_operator import to_linear_operator

    class Autoregressive(gpytorch.models.ExactGP):  # type: ignore[misc]
        """k((x, l), (x', l')) = ρ^(l + l') k_low(x, x') + l l' k_δ(x, x')."""

        def __init__(self) -> None:
            super().__init__(inputs, targets, gpytorch.likelihoods.GaussianLikelihood())
            self.mean_module = gpytorch.means.ZeroMean()
            self.low, self.delta = (
                gpytorch.kernels.ScaleKernel(gpytorch.kernels.MaternKernel(nu=2.5)) for _ in range(2)
            )
            self.ratio = torch.nn.Parameter(torch.ones((), dtype=torch.float64))

        def forward(self, x: Tensor) -> t.Any:
            level, place = x[:, -1], x[:, :-1]
            factor = torch.where(level > 0, self.ratio, torch.ones_like(level))
            covariance = factor[:, None] * factor * self.low(place).to_dense()
            covariance = covariance + level[:, None] * level * self.delta(place).to_dense()
            return gpytorch.distributions.MultivariateNormal(self.mean_module(x), to_linear_operator(covariance))

    torch.manual_seed(seed)
    model = Autoregressive().double()
    spread = float(inputs[:, :-1].var(dim=0).sum().sqrt())
    for kernel in (model.low, model.delta):
        kernel.base_kernel.lengthscale = max(spread, 1e-3)
    model.delta.outputscale = 0.1
    model.likelihood.noise = 0.05
    likelihood = gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    model.train()
    with warnings.catch_warnings(), gpytorch.settings.fast_computations(False, False, False):
        warnings.simplefilter('ignore')  # of jitter on the diagonal
        for _ in range(STEPS):
            optimiser.zero_grad()
            loss = -likelihood(model(inputs), targets)
            loss.backward()
            optimiser.step()
    model.eval()

    def posterior(new: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        with torch.no_grad(), warnings.catch_warnings(), gpytorch.settings.fast_computations(False, False, False):
            warnings.simplefilter('ignore')
            found = model.likelihood(model(new))
        return found.mean.numpy(), found.variance.clamp_min(0).sqrt().numpy()

    return posterior
