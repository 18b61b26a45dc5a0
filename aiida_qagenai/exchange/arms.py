"""The arms of the contest between the multi-fidelity network and its alternatives, by name."""

from __future__ import annotations

__all__ = ('ABOUT', 'CHEAP', 'NETWORKS')

ABOUT = {
    'lower': 'the level below as it is',
    'linear': 'linear correction of the level below: shift, slope, elements',
    'levels': 'linear combination of all levels below, σ from their spread',
    'high-only': 'Gaussian process on the labels of the target alone',
    'difference': 'linear correction, and a Gaussian process for what it leaves',
    'co-kriging': 'autoregressive co-kriging of the target and the level below',
    'foundation-linear': 'linear correction of what the shipped validator says',
    'foundation': 'the same, and a Gaussian process on its features for the rest',
    'network-linear': 'linear correction of a network of the level below',
    'network-high-only': 'network trained on the labels of the target alone',
    'network-difference': 'network of the level below and one of the difference',
    'network-transfer': 'network of the level below, all of it fine-tuned on the target',
    'mf-ennp': 'multi-fidelity network, in stages with the gradient stop and paired labels',
    'mf-ennp-frozen': 'the same, in which the target learns only references, bias and Δ of paired labels',
    'mf-ennp-no-stop': 'the same without the gradient stop, with replay',
    'mf-ennp-direct': 'the same, trained on all levels at once',
    'mf-ennp-outer': 'the same without the levels between the lowest and the target',
    'mf-ennp-upper': 'the same without the lowest level',
    'mf-ennp-pairs': 'the same with the strictly local architecture `pairs`',
    'mf-ennp-shipped': 'shipped validator with new Δ read-outs on its frozen trunk, paired labels',
}
"""What each arm does, the simplest first: within the noise of the contest the simplest is taken."""

NETWORKS = tuple(name for name in ABOUT if name.startswith(('network', 'mf-ennp')))
"""Arms that train networks and need structures."""

CHEAP = tuple(name for name in ABOUT if name not in NETWORKS)
"""Arms that take seconds a fold."""
