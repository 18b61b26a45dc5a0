"""All figures of a set of generated crystals, and a record of each of them."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from aiida_qagenai.chemistry.duplicates import find_duplicates
from aiida_qagenai.chemistry.geometry import structure_problem
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.evaluation.distributions import coverage, wasserstein_distances
from aiida_qagenai.evaluation.figures import Figure, share
from aiida_qagenai.evaluation.matching import COUNTS, Progress, compare, match_rate, quietly
from aiida_qagenai.evaluation.novelty import CLASSES, MATCHER, RelationToKnown
from aiida_qagenai.evaluation.stability import stable_unique_novel
from aiida_qagenai.evaluation.validity import (
    CURRENT,
    LEGACY,
    MINIMUM_DISTANCE,
    MINIMUM_VOLUME,
    composition_is_valid,
    element_counts,
    structure_is_valid,
)

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('Evaluation',)


class Evaluation:
    """Figures of generated crystals, to which each method adds, and one record per crystal.

    Validity and uniqueness are there from the start.

    :param samples: generated crystals, ``None`` for one that cannot be read.
    :param seed: of the bootstrap.
    :raises InvalidInputError: if there is none.
    """

    def __init__(self, samples: Sequence[Structure | None], *, seed: int = 0) -> None:
        if not samples:
            raise InvalidInputError('no generated crystals to evaluate')
        self.samples = list(samples)
        self.figures: list[Figure] = []
        self.records: list[dict[str, t.Any]] = [{} for _ in samples]
        self._seed = seed
        self._add_validity()
        self._proper = [
            (record, sample)
            for record, sample in zip(self.records, self.samples, strict=True)
            if sample is not None and record['structure_valid']
        ]
        self._add_uniqueness()

    def _share(self, name: str, flags: Sequence[bool], definition: str) -> None:
        self.figures.append(share(name, flags, definition, seed=self._seed))

    def _add_validity(self) -> None:
        for record, sample in zip(self.records, self.samples, strict=True):
            counts = None if sample is None else element_counts(sample)
            record['structure_valid'] = sample is not None and structure_is_valid(sample)
            for source in (LEGACY, CURRENT):
                record[f'composition_valid_{source}'] = counts is not None and composition_is_valid(counts, source)
            record['valid'] = record['structure_valid'] and record[f'composition_valid_{LEGACY}']
        structure = f'distances ≥ {MINIMUM_DISTANCE} Å, volume ≥ {MINIMUM_VOLUME} Å3'
        rules = {source: f'SMACT rules with the list {source}, alloys valid' for source in (LEGACY, CURRENT)}
        texts = {
            'structure_valid': structure,
            **{f'composition_valid_{source}': text for source, text in rules.items()},
            'valid': f'{structure}; {rules[LEGACY]}',
        }
        for key, text in texts.items():
            name = key.replace('_', '-').replace('valid', 'validity')
            self._share(name, [record[key] for record in self.records], text)

    def _add_uniqueness(self) -> None:
        clusters = find_duplicates([sample for _, sample in self._proper], distortions=False)
        for record in self.records:
            record['cluster'] = None
        for (record, _), label in zip(self._proper, clusters.labels, strict=True):
            record['cluster'] = int(label)
        first = set(clusters.representatives)
        flags = [position in first for position in range(len(self._proper))]
        self._share('uniqueness', flags, f'distinct ones of the structurally valid; {MATCHER}')

    def add_matches(
        self,
        indices: Mapping[str, Sequence[int]],
        references: Mapping[str, Structure],
        counts: Sequence[int] = COUNTS,
        *,
        everyone: bool = True,
        workers: int = 1,
        progress: Progress = quietly,
    ) -> None:
        """Add match rates, RMSE, METRe and cRMSE.

        :param indices: name of a reference → its samples.
        :param everyone: whether METRe is among them, which compares all structures of one formula.
        """
        drawn = {name: [self.samples[index] for index in chosen] for name, chosen in indices.items()}
        found = compare(drawn, references, everyone=everyone, workers=workers, progress=progress)
        for all_of_formula in (False, True) if everyone else (False,):
            for count in counts:
                rate = match_rate(found.values(), count, everyone=all_of_formula, seed=self._seed)
                self.figures += [rate.rate, rate.rmse, rate.corrected_rmse]
        for name, comparison in found.items():
            own = {sample.rank: sample.distance for sample in comparison.samples if sample.own}
            for rank, index in enumerate(indices.get(name, ())):
                self._record_distance(self.records[index], name, rank, own.get(rank))

    def _record_distance(self, record: dict[str, t.Any], reference: str, rank: int, distance: float | None) -> None:
        """Keep the nearest reference of a crystal, which belongs to several where the formula decides."""
        best = record.get('distance')
        if 'reference' not in record or (distance is not None and (best is None or distance < best)):
            record |= {'reference': reference, 'rank': rank, 'distance': distance}

    def add_distributions(self, references: Sequence[Structure]) -> None:
        """Add coverage and Wasserstein distances."""
        proper = [item for item in self.samples if item is not None and structure_problem(item) is None]
        known = [item for item in references if structure_problem(item) is None]
        self.figures += coverage(proper, known, len(self.samples), seed=self._seed)
        valid = [sample for record, sample in self._proper if record['valid']]
        self.figures += wasserstein_distances(valid, known, seed=self._seed)

    def add_novelty(self, known: Sequence[Structure], progress: Progress = quietly) -> None:
        """Add novelty and the shares of its classes."""
        relation = RelationToKnown(known)
        for record in self.records:
            record['relation'] = None
        for record, sample in progress(self._proper, len(self._proper)):
            record['relation'] = relation.classify(sample)
        found = [record['relation'] for record, _ in self._proper]
        about = f'of the structurally valid; {len(known)} known structures; {MATCHER}'
        self._share('novelty', [name != 'replay' for name in found], f'substitution or novel framework, {about}')
        for name in CLASSES:
            self._share(name.replace(' ', '-'), [other == name for other in found], about)

    def add_stability(self, e_above_hull: Sequence[float | None], provenance: str) -> None:
        """Add S.U.N. and MSUN.

        :param e_above_hull: of each sample, eV/atom.
        :param provenance: which hull and which relaxation the distances are from.
        :raises InvalidInputError: if the novelty of the crystals has not been added.
        """
        if 'relation' not in self.records[0]:
            raise InvalidInputError('S.U.N. needs the novelty of the crystals: give known structures')
        for record, energy in zip(self.records, e_above_hull, strict=True):
            record['e_above_hull'] = energy
        number = sum(energy is not None for energy in e_above_hull)
        self.figures += stable_unique_novel(
            e_above_hull,
            [record['cluster'] for record in self.records],
            [record['relation'] in CLASSES[1:] for record in self.records],
            f'{number} have an energy; {provenance}; {MATCHER}',
            seed=self._seed,
        )
