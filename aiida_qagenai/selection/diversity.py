"""The diversity score U from k-means clusters (paper Algorithm 1, line 5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('NUM_CLUSTERS', 'diversity_scores')

NUM_CLUSTERS = 50
"""k of the paper; with fewer candidates, as many clusters as there are distinct ones."""


def diversity_scores(
    features: NDArray[np.float64], *, num_clusters: int = NUM_CLUSTERS, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return U in (0, 1] and the cluster of every candidate.

    The paper names k-means and not the score. Here U(x) = 1 − r / m, where m is the size of the cluster of x and r the
    number of its members closer to its centre: the representative of every cluster, however small, has U = 1, and the
    more of its kind are more typical than x, the less x adds to them. Features are standardised first; constant ones
    drop out.

    :param features: descriptor or latent vectors, shape (n, d), finite.
    :param num_clusters: k; reduced to the number of distinct vectors.
    :param seed: of the k-means initialisation.
    :return: U, shape (n,), and labels, shape (n,).
    :raises InvalidInputError: if a feature is not finite or k is not positive.
    """
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or not np.isfinite(features).all():
        message = f'features must be a finite array of shape (n, d), not of shape {features.shape}'
        raise InvalidInputError(message)
    if num_clusters < 1:
        message = f'num_clusters must be at least 1, not {num_clusters}'
        raise InvalidInputError(message)
    if len(features) == 0:
        return np.zeros(0), np.zeros(0, dtype=np.int64)
    from sklearn.cluster import KMeans

    spread = features.std(axis=0)
    varying = spread > 1e-12
    scaled = (features[:, varying] - features[:, varying].mean(axis=0)) / spread[varying]
    if not varying.any():
        scaled = np.zeros((len(features), 1))
    distinct = len(np.unique(scaled.round(9), axis=0))
    model = KMeans(n_clusters=min(num_clusters, distinct), n_init=4, random_state=seed).fit(scaled)
    labels = model.labels_.astype(np.int64)
    distance = np.linalg.norm(scaled - model.cluster_centers_[labels], axis=1)
    scores = np.ones(len(features))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        # equal distances share a rank, so that duplicates get the same score
        closer = (distance[members][None, :] < distance[members][:, None] - 1e-9).sum(axis=1)
        scores[members] = 1.0 - closer / len(members)
    return scores, labels
