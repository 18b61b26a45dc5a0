"""The probability that a motif fits a composition: boosted decision trees, stored as plain arrays.

scikit-learn fits the trees (J. H. Friedman, Ann. Stat. 29, 1189, 2001); what is stored are thresholds and values, so
that nothing is ever unpickled and no other release of scikit-learn reads them differently.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import CorruptFileError
from aiida_qagenai.exchange.structures import FORMAT_VERSION, load_arrays, save_arrays
from aiida_qagenai.motifs.retrieval import FEATURES, Candidates

__all__ = ('DEFAULT_RANKING', 'Ranking')

DEFAULT_RANKING = Path(__file__).parent / 'ranking.npz'
"""The ranking that comes with the package; its card is ``card.json`` beside it."""

_ARRAYS = ('starts', 'feature', 'threshold', 'left', 'right', 'value', 'prior')


@dataclasses.dataclass(frozen=True)
class Ranking:
    """A sum of regression trees on ``FEATURES`` whose logistic is the probability that the motif fits.

    :param starts: first node of each tree, and the number of nodes, shape (trees + 1,).
    :param feature: tested by each node, −1 for a leaf.
    :param threshold: a value at or below it goes left.
    :param left: node that follows, counted from the start of the tree.
    :param right: as ``left``.
    :param value: what a leaf adds to the log odds.
    :param prior: log odds before any tree, shape ().
    """

    starts: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]
    prior: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        features: NDArray[np.float64],
        fits: NDArray[np.bool_],
        *,
        seed: int = 0,
        **settings: t.Any,
    ) -> Ranking:
        """Return the ranking that scikit-learn fits to candidates of which one knows whether they fit.

        :param features: shape (n, len(FEATURES)).
        :param settings: of ``sklearn.ensemble.GradientBoostingClassifier``.
        """
        from sklearn.ensemble import GradientBoostingClassifier

        model = GradientBoostingClassifier(random_state=seed, **settings).fit(features, fits)
        trees = [stage[0].tree_ for stage in model.estimators_]
        share = np.mean(fits)
        return cls(
            starts=np.cumsum([0, *(tree.node_count for tree in trees)]),
            feature=np.concatenate([np.maximum(tree.feature, -1) for tree in trees]).astype(np.int64),
            threshold=np.concatenate([tree.threshold for tree in trees]),
            left=np.concatenate([tree.children_left for tree in trees]).astype(np.int64),
            right=np.concatenate([tree.children_right for tree in trees]).astype(np.int64),
            value=np.concatenate([tree.value[:, 0, 0] for tree in trees]) * model.learning_rate,
            prior=np.array(np.log(share / (1 - share))),
        )

    @classmethod
    def load(cls, path: Path) -> Ranking:
        """Read a ranking.

        :raises CorruptFileError: if the file is not one, or one for other features.
        """
        arrays = load_arrays(path)
        if any(name not in arrays for name in _ARRAYS):
            raise CorruptFileError(f'`{path}` is not a ranking of motifs')
        if tuple(arrays.get('names', ())) != FEATURES:
            raise CorruptFileError(f'the ranking in `{path}` was fitted to other features than this release computes')
        integers = ('starts', 'feature', 'left', 'right')
        values: dict[str, t.Any] = {
            name: arrays[name].astype(np.int64 if name in integers else np.float64) for name in _ARRAYS
        }
        return cls(**values)

    @classmethod
    @functools.cache
    def default(cls) -> Ranking:
        """Return the ranking that comes with the package."""
        return cls.load(DEFAULT_RANKING)

    def save(self, path: Path) -> None:
        """Write the ranking as NPZ; the same ranking gives the same bytes."""
        small = {'feature': np.int16, 'left': np.int16, 'right': np.int16, 'value': np.float32}
        arrays = {name: getattr(self, name).astype(small.get(name, getattr(self, name).dtype)) for name in _ARRAYS}
        save_arrays(path, {**arrays, 'names': np.array(FEATURES), 'format_version': np.array(FORMAT_VERSION)})

    def probabilities(self, candidates: Candidates) -> NDArray[np.float64]:
        """Return the probability of each candidate that the composition crystallises like it, shape (m,)."""
        return self.of_features(candidates.features)

    def of_features(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities for rows of ``FEATURES``, shape (n,)."""
        # scikit-learn compares in single precision
        values = features.astype(np.float32).astype(np.float64)
        rows = np.arange(len(values))
        total = np.full(len(values), float(self.prior))
        for start in self.starts[:-1]:
            node = np.full(len(values), start)
            while (inner := self.feature[node] >= 0).any():
                below = values[rows, self.feature[node]] <= self.threshold[node]
                following = start + np.where(below, self.left[node], self.right[node])
                node = np.where(inner, following, node)
            total += self.value[node]
        probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-total))
        return probabilities
