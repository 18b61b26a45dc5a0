"""Match rates of predicted structures as the scripts of DiffCSP and OMatG define them.

A sample matches its reference if pymatgen's ``StructureMatcher`` maps one onto the other with the tolerances of
``TOLERANCES``, after scaling to one volume. The distance of the two is the root-mean-square displacement in units of
(V/N)^⅓. Per reference the best of the first ``count`` samples counts; RMSE is the mean distance of the references that
are matched. Every sample must be valid (:mod:`aiida_qagenai.evaluation.validity`, original oxidation states), and with
one sample the reference as well; all references are in the denominator.

METRe ("match everyone to reference", M. M. Martirossyan et al., arXiv 2509.12178) is for several polymorphs: a
reference is found if any of the samples of its formula matches it, whichever reference they were drawn for. In cRMSE a
reference that is not found counts with the tolerance ``stol``, so that nothing is gained by matching only easy ones.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor

from aiida_qagenai.chemistry.geometry import structure_problem
from aiida_qagenai.chemistry.species import plain_structure
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.figures import Figure, mean, share
from aiida_qagenai.evaluation.validity import is_valid

if t.TYPE_CHECKING:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Structure

__all__ = ('COUNTS', 'TOLERANCES', 'Comparison', 'MatchRate', 'Sample', 'compare', 'match_rate', 'match_rates')

TOLERANCES: dict[str, float] = {'stol': 0.5, 'angle_tol': 10, 'ltol': 0.3}
"""Options of the matcher in published match rates."""

COUNTS = (1, 20)
"""Numbers of samples per reference in published match rates."""

Progress = Callable[[Iterable[t.Any], int], Iterable[t.Any]]
"""Yields items, of which there is a given number, and may show how many are done."""
_Job = tuple['Structure', 'list[tuple[Structure, int, bool]]']


def quietly(items: Iterable[t.Any], number: int) -> Iterable[t.Any]:
    """Return the items as they are."""
    return items


class Sample(t.NamedTuple):
    """One sample against one reference.

    :param distance: normalised root-mean-square displacement, ``None`` where it does not match.
    :param valid: whether the sample is valid.
    :param rank: its place among the samples that were drawn with it, from 0.
    :param own: whether it was drawn for this reference.
    """

    distance: float | None
    valid: bool
    rank: int
    own: bool


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One reference and the samples that it was compared with.

    :param valid: whether the reference is valid.
    """

    valid: bool
    samples: tuple[Sample, ...]

    def best(self, count: int, *, check: bool = True) -> float | None:
        """Return the smallest distance among the first ``count`` samples that were drawn for the reference.

        :param check: whether samples must be valid, and the reference as well where there is one sample.
        """
        if check and count == 1 and not self.valid:
            return None
        return self._smallest(count, check, own=True)

    def best_of_all(self, count: int, *, check: bool = True) -> float | None:
        """Return the smallest distance among all samples, of the first ``count`` that were drawn together.

        :param check: whether samples and reference must be valid.
        """
        return None if check and not self.valid else self._smallest(count, check, own=False)

    def _smallest(self, count: int, check: bool, own: bool) -> float | None:
        chosen = (s for s in self.samples if s.rank < count and (s.own or not own) and (s.valid or not check))
        return min((sample.distance for sample in chosen if sample.distance is not None), default=None)


@dataclasses.dataclass(frozen=True)
class MatchRate:
    """Match rate and distances with a number of samples per reference.

    :param count: samples per reference.
    :param rate: share of the references that are matched.
    :param rmse: mean distance of those that are matched.
    :param corrected_rmse: mean distance with ``stol`` for those that are not.
    """

    count: int
    rate: Figure
    rmse: Figure
    corrected_rmse: Figure


def match_rates(
    samples: Mapping[str, Sequence[Structure | None]],
    references: Mapping[str, Structure],
    counts: Sequence[int] = COUNTS,
    *,
    check: bool = True,
    workers: int = 1,
    progress: Progress = quietly,
    seed: int = 0,
) -> list[MatchRate]:
    """Return match rate and RMSE for each number of samples.

    :param samples: name of a reference → its samples, the best guess first; ``None`` is one that cannot be read.
    :param references: name → structure; those without samples count as not matched.
    :param counts: numbers of samples per reference.
    :param check: whether samples and references must be valid, as in published rates.
    :param workers: processes.
    :param progress: wraps the comparisons as they are made, to show how many are done.
    :param seed: of the bootstrap.
    :raises InvalidInputError: if there is no reference, a sample belongs to none, or a number is not positive.
    """
    found = compare(samples, references, workers=workers, progress=progress)
    return [match_rate(found.values(), count, check=check, seed=seed) for count in counts]


def compare(
    samples: Mapping[str, Sequence[Structure | None]],
    references: Mapping[str, Structure],
    *,
    everyone: bool = False,
    workers: int = 1,
    progress: Progress = quietly,
) -> dict[str, Comparison]:
    """Return name → comparison of every reference with its samples.

    :param everyone: whether references are compared with the samples of all references of their formula (METRe).
    :raises InvalidInputError: if there is no reference, or a sample belongs to none.
    """
    if not references:
        raise InvalidInputError('no reference structures: match rates are shares of the references')
    strange = [name for name in samples if name not in references]
    if strange:
        raise InvalidInputError(f'samples of `{strange[0]}`, which is not among the {len(references)} references')
    jobs = _jobs_of_all(samples, references) if everyone else _jobs(samples, references)
    if workers > 1:
        with ProcessPoolExecutor(max_workers=workers) as pool:
            found = list(progress(pool.map(_compare, jobs, chunksize=4), len(jobs)))
    else:
        found = [_compare(job) for job in progress(jobs, len(jobs))]
    return dict(zip(references, found, strict=True))


def _jobs(samples: Mapping[str, Sequence[Structure | None]], references: Mapping[str, Structure]) -> list[_Job]:
    return [
        (reference, [(sample, rank, True) for rank, sample in enumerate(samples.get(name, ())) if sample is not None])
        for name, reference in references.items()
    ]


def _jobs_of_all(samples: Mapping[str, Sequence[Structure | None]], references: Mapping[str, Structure]) -> list[_Job]:
    """Return each reference with its own samples, then the others of its formula, each of them once."""
    pools: dict[str, list[tuple[Structure, int]]] = {}
    for drawn in samples.values():
        for rank, sample in enumerate(drawn):
            if sample is None:
                continue
            pools.setdefault(sample.composition.reduced_formula, []).append((sample, rank))
    jobs = []
    for reference, own in _jobs(samples, references):
        others = {id(sample): (sample, rank) for sample, rank in pools.get(reference.composition.reduced_formula, ())}
        for sample, _, _ in own:
            others.pop(id(sample), None)
        jobs.append((reference, own + [(sample, rank, False) for sample, rank in others.values()]))
    return jobs


def _compare(job: _Job) -> Comparison:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    reference, samples = job
    matcher = StructureMatcher(**TOLERANCES)
    found = tuple(
        Sample(_distance(matcher, sample, reference), is_valid(sample), rank, own) for sample, rank, own in samples
    )
    return Comparison(is_valid(reference), found)


def _distance(matcher: StructureMatcher, sample: Structure, reference: Structure) -> float | None:
    """Return the normalised displacement; structures of other formulas are never given to the matcher."""
    sample, reference = plain_structure(sample), plain_structure(reference)
    if sample.composition.reduced_formula != reference.composition.reduced_formula:
        return None
    if structure_problem(sample) is not None or structure_problem(reference) is not None:
        return None
    try:
        found = matcher.get_rms_dist(sample, reference)
    except ValueError:  # a cell without a Niggli reduction matches nothing
        return None
    return None if found is None else float(found[0])


def match_rate(
    comparisons: Iterable[Comparison], count: int, *, everyone: bool = False, check: bool = True, seed: int = 0
) -> MatchRate:
    """Return the figures of comparisons with ``count`` samples per reference.

    :param everyone: whether any sample of the formula may match a reference (METRe, cRMSE).
    :param check: whether samples must be valid; the references as well for METRe and where there is one sample.
    :raises InvalidInputError: if the number is not positive.
    """
    if count < 1:
        raise InvalidInputError(f'the number of samples per reference must be positive, not {count}')
    best = [(item.best_of_all if everyone else item.best)(count, check=check) for item in comparisons]
    prefix, corrected = ('metre', 'crmse') if everyone else ('match-rate', 'corrected-rmse')
    what = f'{count} samples' if count > 1 else 'one sample'
    what = f'any of its formula, {what} per reference' if everyone else f'best of {what}'
    valid = 'samples and references valid' if everyone or count == 1 else 'samples valid'
    rules = ', '.join(f'{name} {value:g}' for name, value in TOLERANCES.items())
    rules = f'{what}; {rules}; {valid if check else "validity not required"}'
    stol = TOLERANCES['stol']
    matched = [value is not None for value in best]
    return MatchRate(
        count,
        share(f'{prefix}-{count}', matched, f'references matched: {rules}', seed=seed),
        mean(
            f'{"metre-" if everyone else ""}rmse-{count}', best, 'displacement / (V/N)^⅓, matched references', seed=seed
        ),
        mean(f'{corrected}-{count}', best, f'the same, {stol:g} for references not matched', missing=stol, seed=seed),
    )
