"""What a search for hyperparameters improves, from samples for held-out formulas.

``valid_novel``
    share of the requested samples that pass the constraints of :mod:`aiida_qagenai.chemistry.constraints`, as those of
    a campaign have to, and are equal to no known crystal and to no sample before. Memorisation raises validity alone,
    and so does one good structure again and again. The validity of :mod:`aiida_qagenai.evaluation.validity` would not
    do: the atoms of samples are moved apart when they are made, so that those of an untrained generator pass it too.
``match_rate``
    share of the held-out crystals that one of the samples of their formula matches, with the tolerances of
    :mod:`aiida_qagenai.evaluation.matching`; validity is not required.
``loss``
    held-out loss of the training; nothing is sampled.
"""

from __future__ import annotations

import hashlib
import typing as t
from collections.abc import Sequence

from aiida_qagenai.chemistry.constraints import screen
from aiida_qagenai.chemistry.duplicates import KnownStructures
from aiida_qagenai.evaluation.matching import compare, match_rate

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('DIRECTIONS', 'Objective', 'cell_contents', 'matched', 'valid_and_novel')

Objective = t.Literal['valid_novel', 'match_rate', 'loss']

DIRECTIONS: dict[str, t.Literal['maximize', 'minimize']] = {
    'valid_novel': 'maximize',
    'match_rate': 'maximize',
    'loss': 'minimize',
}
"""Whether a figure is better when it is larger."""


def cell_contents(crystals: Sequence[Structure], elements: t.Collection[str], count: int) -> dict[str, dict[str, int]]:
    """Return reduced formula → cell content, of at most ``count`` formulas.

    Which formulas these are follows from their hashes: neither the order of the crystals nor the alphabet decides. The
    content of a formula is that of its smallest cell.

    :param elements: symbols; formulas with other elements are left out.
    """
    contents: dict[str, dict[str, int]] = {}
    for crystal in crystals:
        content = {str(symbol): int(amount) for symbol, amount in sorted(crystal.composition.as_dict().items())}
        if not set(content) <= set(elements):
            continue
        known = contents.setdefault(crystal.composition.reduced_formula, content)
        if sum(content.values()) < sum(known.values()):
            contents[crystal.composition.reduced_formula] = content
    chosen = sorted(contents, key=lambda formula: hashlib.sha256(formula.encode()).hexdigest())[:count]
    return {formula: contents[formula] for formula in chosen}


def valid_and_novel(samples: Sequence[Structure], known: Sequence[Structure], requested: int) -> dict[str, float]:
    """Return ``value`` and the counts behind it.

    :param known: crystals that are not novel.
    :param requested: samples that were asked for: those that failed are not valid.
    """
    old, new = KnownStructures(known, distortions=False), KnownStructures(distortions=False)
    counts = {'requested': requested, 'generated': len(samples), 'valid': 0, 'novel': 0, 'unique': 0}
    for sample in samples:
        if not screen(sample).passed:
            continue
        counts['valid'] += 1
        if old.find(sample) is not None:
            continue
        counts['novel'] += 1
        if new.find(sample) is None:
            new.add(sample)
            counts['unique'] += 1
    return {'value': counts['unique'] / requested, **counts}


def matched(samples: Sequence[Structure], references: Sequence[Structure], requested: int) -> dict[str, float]:
    """Return ``value``, the share of ``references`` that a sample of their formula matches, and what it is made of.

    :param requested: samples that were asked for.
    """
    names = [f'r{index:06d}' for index in range(len(references))]
    first: dict[str, str] = {}
    for name, reference in zip(names, references, strict=True):
        first.setdefault(reference.composition.reduced_formula, name)
    drawn: dict[str, list[Structure | None]] = {}
    for sample in samples:
        owner = first.get(sample.composition.reduced_formula)
        if owner is not None:
            drawn.setdefault(owner, []).append(sample)
    comparisons = compare(drawn, dict(zip(names, references, strict=True)), everyone=True)
    rate = match_rate(comparisons.values(), max(requested, 1), everyone=True, check=False)
    figures = {'requested': requested, 'generated': len(samples), 'references': len(references)}
    rmse = {} if rate.rmse.value is None else {'rmse': rate.rmse.value}
    return {'value': rate.rate.value or 0.0, **figures, 'matched': rate.rate.numerator or 0, **rmse}
