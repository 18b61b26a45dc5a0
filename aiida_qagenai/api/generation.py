"""Crystals from known ones: retrieved as they are, or sampled by the diffusion model."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import tempfile
import typing as t
import warnings
from collections.abc import Sequence
from pathlib import Path

from aiida_qagenai.api.masking import masked_requests, read_mask
from aiida_qagenai.api.targeting import predicted_for
from aiida_qagenai.api.tasks import Runner, Show, run_quietly
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.selection.targets import Predicted, PredictedProperty, Target, parse_target

if t.TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core import Structure

    from aiida_qagenai.api.masking import AnyMask
    from aiida_qagenai.exchange.crystals import AnyCrystals, NamedCrystal
    from aiida_qagenai.exchange.geometry import GeometryOptions
    from aiida_qagenai.exchange.masks import SiteMask
    from aiida_qagenai.exchange.readers.structure_files import NamedStructure
    from aiida_qagenai.exchange.requests import MotifsRequest

__all__ = ('NO_TORCH', 'Generated', 'Ordered', 'Requested', 'generate', 'has_torch', 'propose_crystals')

CANDIDATES = 'candidates.npz'
MOTIFS = 'motifs.npz'
SPARE = 3
"""Structures that are asked for, per one that is wanted, where some are left out."""

SAMPLES = 5
"""Crystals per one that is wanted, where a band gap is asked for."""

NO_TORCH = "motifs are not refined: that needs torch (pip install 'aiida-qagenai[ml]')"


class Ordered(t.NamedTuple):
    """What became of one geometric constraint in a crystal.

    :param constraint: its text.
    :param value: of the quantity, ``None`` where an element is absent or there is no number.
    :param loss: of the crystal as it was sampled, 0 where the constraint is satisfied safely.
    :param trajectory: losses of the clean structure that was predicted in each step.
    """

    constraint: str
    value: float | None
    loss: float
    satisfied: bool
    trajectory: tuple[float, ...]


class Generated(t.NamedTuple):
    """A crystal that was generated.

    :param motif: identifier of the known crystal that it began as, empty if none.
    :param motif_formula: its reduced formula.
    :param probability: of the motif, NaN without one.
    :param noise: level of the noise that was added to the motif.
    :param relation: to the known crystals, see ``evaluation.novelty``.
    :param known_as: identifier of the known crystal that it equals, if it was looked for.
    :param space_group: 1–230, if it is known.
    :param ordered: what became of each geometric constraint.
    :param predicted: its band gap or its moduli, if they were asked for.
    """

    structure: Structure
    motif: str
    motif_formula: str
    probability: float
    noise: float
    relation: str
    known_as: str | None = None
    space_group: int | None = None
    ordered: tuple[Ordered, ...] = ()
    predicted: Predicted | PredictedProperty | None = None

    @property
    def satisfied(self) -> bool:
        """Return whether the crystal satisfies all constraints."""
        return all(each.satisfied for each in self.ordered)


@dataclasses.dataclass(frozen=True)
class Requested:
    """What is asked for beside the limits that a ``MotifsRequest`` has.

    :param wanted: a formula, or the elements of a chemical system.
    :param count: largest number of crystals.
    :param motifs: crystals of one's own with a ``name`` and a ``structure`` that are motifs as well; with
        ``only_motifs``, the only ones.
    :param exclude_known: whether crystals that the library contains are left out.
    :param generator: folder of a checkpoint; the shipped one if ``None``.
    :param geometry: geometric constraints that the crystals are ordered with.
    :param mask: atoms that all crystals have.
    :param target: band gap or modulus that is asked for: of ``samples`` crystals per one that is wanted, by default
        ``SAMPLES``, the nearest are kept.
    """

    wanted: Sequence[str]
    count: int
    motifs: Sequence[NamedCrystal | NamedStructure] = ()
    only_motifs: bool = False
    exclude_known: bool = False
    generator: Path | None = None
    seed: int = 0
    geometry: GeometryOptions | None = None
    target: Target | None = None
    samples: int = 1
    mask: SiteMask | None = None

    @property
    def multiple(self) -> int:
        """Return how many crystals are made per one that is wanted."""
        if self.target is None:
            return 1
        return self.samples if self.samples > 1 else SAMPLES

    def limits(self, given: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return ``given`` limits without those that are ``None``, completed.

        With geometric constraints or a mask crystals are sampled from noise without symmetry, unless something else is
        given: a known crystal has the coordination that it has.
        """
        free = {} if self.geometry is None and self.mask is None else {'novelty': 1.0, 'symmetry': 'free'}
        return free | {name: value for name, value in given.items() if value is not None}


def generate(
    wanted: str | Sequence[str],
    count: int = 20,
    *,
    motifs: AnyCrystals = (),
    only_motifs: bool = False,
    exclude_known: bool = False,
    generator: str | Path | None = None,
    seed: int = 0,
    constrain: str | Sequence[str] | GeometryOptions = (),
    mask: AnyMask | None = None,
    target: str | Target | None = None,
    **limits: t.Any,
) -> list[Generated]:
    """Propose crystals of a formula or of a chemical system, as ``aiida-qagenai generate`` does, the likeliest first.

    :param wanted: a formula (``'SrTiO3'``), or the elements of a chemical system (``['Li', 'Mn', 'O']``).
    :param count: largest number of crystals.
    :param motifs: crystals of your own as further motifs, of any kind, see
        :func:`~aiida_qagenai.exchange.crystals.as_structures`; with ``only_motifs``, the only ones.
    :param exclude_known: leave out crystals that the library contains.
    :param generator: folder of a checkpoint in place of the shipped diffusion model.
    :param seed: of the random numbers, for ``novelty`` above 0.
    :param constrain: geometric constraints such as ``'coordination(Si,O)=6'``; those that satisfy them come first.
    :param mask: atoms that all crystals have, such as ``'kagome(Ni)'``, or a crystal or file of which all atoms are
        held at their fractional coordinates.
    :param target: band gap or modulus such as ``'band_gap=1.5'``, ``'band_gap=1.2..1.8'``, ``'metallic'`` or
        ``'bulk_modulus=350'`` (GPa); those whose predicted one is nearest are kept, and come first.
    :param limits: ``novelty``, ``refine``, ``symmetry``, ``formula_units``, ``min_atoms``, ``max_atoms``,
        ``space_group``, ``pool``, ``stoichiometry``, ``exclude`` and ``exclude_system``, see
        :class:`~aiida_qagenai.exchange.requests.MotifsRequest`. Without torch motifs are not refined, with a warning.
    :raises QagenaiError: if no known crystal can be changed into what is wanted, or all are known
        (``InvalidInputError``), or the diffusion model fails.
    """
    from aiida_qagenai.exchange.crystals import named_crystals
    from aiida_qagenai.exchange.geometry import GeometryOptions

    parts = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    if limits.get('refine', True) and not limits.get('novelty') and not (constrain or mask) and not has_torch():
        warnings.warn(NO_TORCH, stacklevel=2)
    folder = None if generator is None else Path(generator)
    geometry = constrain if isinstance(constrain, GeometryOptions) else None
    if not isinstance(constrain, GeometryOptions) and constrain:
        geometry = GeometryOptions.of_texts(constrain)
    wish = parse_target(target) if isinstance(target, str) else target
    asked = Requested(parts, count, named_crystals(motifs), only_motifs, exclude_known, folder, seed, geometry, wish)
    if mask is not None:
        asked = dataclasses.replace(asked, mask=read_mask(mask))
    return propose_crystals(asked, limits)


def propose_crystals(
    asked: Requested,
    limits: dict[str, t.Any],
    run: Runner = run_quietly,
    show: Show = lambda done, total: None,
    say: t.Callable[[str], object] = lambda text: None,
) -> list[Generated]:
    """Return the crystals of :func:`generate`.

    :param run: what runs the diffusion model.
    :param show: called with the number of compositions of a chemical system that were looked at, and of all.
    :param say: called with what shares of the crystals have the property that is asked for.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        request = _request(asked, asked.limits(limits), folder)
        is_sampled = any((asked.geometry, asked.mask, asked.target, request.novelty))
        if is_sampled or (request.refine and has_torch()):
            found = sampled(request, folder, asked, run=run)
        else:
            found = retrieved(request, show)
    found = [each for each in found if not (asked.exclude_known and each.relation == 'replay')]
    found = sorted(found, key=lambda each: not each.satisfied)
    if not found:
        raise InvalidInputError(f'all crystals of {" ".join(asked.wanted)} within these limits are known')
    return found[: asked.count] if asked.target is None else _nearest(found, asked.target, asked, run, say)


def _nearest(
    found: list[Generated], target: Target, asked: Requested, run: Runner, say: t.Callable[[str], object]
) -> list[Generated]:
    """Return the crystals whose predicted properties are nearest to the target, and say what that changed.

    Of a chemical system only few have one formula, or one prototype, unless too few are left then.
    """
    from aiida_qagenai.chemistry.symmetry import space_group
    from aiida_qagenai.motifs.nearest import nearest_of_kinds, order_of_merit

    structures = [each.structure for each in found]
    predicted: t.Any = predicted_for(target, structures, run)
    order = order_of_merit(target, structures, predicted, [each.probability for each in found])
    order.sort(key=lambda index: not found[index].satisfied)
    kept = order[: asked.count]
    if len(asked.wanted) > 1:
        kept = nearest_of_kinds(order, structures, lambda index: space_group(structures[index]).number, asked.count)
        kept += [index for index in order if index not in kept][: asked.count - len(kept)]
    kept.sort(key=lambda index: (not found[index].satisfied, target.distance(predicted[index])))
    shares = []
    for name, part in (('samples', order), ('those kept', kept)):
        inside = sum(target.contains(predicted[index]) for index in part)
        shares.append(f'{inside} of {len(part)} {name} ({100 * inside / len(part):.0f} %)')
    say(f'{target}, as predicted at PBE: {" and ".join(shares)}')
    return [found[index]._replace(predicted=predicted[index]) for index in kept]


def _request(asked: Requested, limits: dict[str, t.Any], folder: Path) -> MotifsRequest:
    """Return the request for the task, with crystals of one's own packed into ``folder``.

    :raises InvalidInputError: on a wrong formula or element, or bounds that exclude each other.
    """
    from aiida_qagenai.exchange.requests import MotifsRequest
    from aiida_qagenai.exchange.structures import StructureBatch

    if asked.only_motifs and not asked.motifs:
        raise InvalidInputError('only motifs of your own are wanted, but none are given')
    disordered = [each.name for each in asked.motifs if not each.structure.is_ordered]
    if disordered:
        raise InvalidInputError(f'`{disordered[0]}` has partial occupancies: a motif has one element on each site')
    if asked.motifs:
        structures, names = [each.structure for each in asked.motifs], [each.name for each in asked.motifs]
        StructureBatch.from_structures(structures, names).save(folder / MOTIFS)
    values = {
        'mode': 'motifs',
        'formula': asked.wanted[0] if len(asked.wanted) == 1 else None,
        'elements': tuple(asked.wanted) if len(asked.wanted) > 1 else None,
        # What is known, or comes out twice, is left out afterwards.
        'count': asked.count * (SPARE if asked.exclude_known or limits.get('novelty') else 1) * asked.multiple,
        'library': folder / MOTIFS if asked.motifs else None,
        'only_library': asked.only_motifs,
        'target': None if asked.target is None else asked.target.text,
        **limits,
    }
    request = MotifsRequest.parse(values)
    if asked.geometry is not None:
        asked.geometry.check_elements(request.symbols, ' '.join(asked.wanted))
    return request


def has_torch() -> bool:
    """Return whether the diffusion model can run here."""
    return importlib.util.find_spec('torch') is not None


def retrieved(request: MotifsRequest, show: Show) -> list[Generated]:
    """Return motifs with exchanged elements as they are, the most probable first.

    :raises InvalidInputError: if no known crystal can be changed into what is wanted.
    """
    from aiida_qagenai.motifs.propose import known_as
    from aiida_qagenai.motifs.requested import models_of, proposals_of

    models = models_of(request)
    found = []
    for each in proposals_of(request, models, report=show):
        structure = each.structure
        known = known_as(models.library, structure)
        relation = 'replay' if known else 'substitution'
        origin = (each.motif, each.motif_formula, each.probability, 0.0)
        found.append(Generated(structure, *origin, relation, known, each.space_group))
    return found


def sampled(request: MotifsRequest, folder: Path, asked: Requested, run: Runner) -> list[Generated]:
    """Return what the diffusion model makes of the motifs, no two crystals alike, the most probable motifs first.

    :param folder: for the files of the task.
    :raises QagenaiError: if the task fails.
    """
    from aiida_qagenai.chemistry.duplicates import find_duplicates
    from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
    from aiida_qagenai.motifs.propose import known_as
    from aiida_qagenai.motifs.relations import LibraryRelations
    from aiida_qagenai.motifs.requested import models_of

    requests = [request.dump()] if asked.mask is None else masked_requests(asked.mask, request, asked.seed)
    config = {
        'requests': requests,
        'generator': None if asked.generator is None else str(asked.generator.resolve()),
        'seed': asked.seed,
        'geometry': None if asked.geometry is None else asked.geometry.dump(),
        'mask': None if asked.mask is None else asked.mask.dump(),
        'output': CANDIDATES,
    }
    run('generate', config, folder, 'sampling')
    arrays = load_arrays(folder / CANDIDATES)
    structures = list(StructureBatch.load(folder / CANDIDATES).structures())
    library = models_of(request).library
    if 'motif' in arrays:
        columns = [arrays[name].tolist() for name in ('motif', 'motif_formula', 'probability', 'noise', 'relation')]
        rows = list(zip(structures, *columns, strict=True))
    else:
        relations = LibraryRelations(library)
        rows = [(each, '', '', math.nan, 1.0, relations.classify(each) or '') for each in structures]
    kept = find_duplicates(structures, distortions=False).representatives
    found = [Generated(*rows[index])._replace(ordered=_ordered(arrays, index)) for index in kept]
    return [
        each._replace(known_as=known_as(library, each.structure)) if each.relation == 'replay' else each
        for each in found
    ]


def _ordered(arrays: dict[str, NDArray[t.Any]], row: int) -> tuple[Ordered, ...]:
    """Return what became of the geometric constraints in one sample; nothing if none were given."""
    if 'geometry_constraints' not in arrays:
        return ()
    curves = arrays['geometry_trajectories'][row].T.tolist()
    columns = [arrays[f'geometry_{name}'][row].tolist() for name in ('values', 'losses', 'satisfied')]
    return tuple(
        Ordered(
            text,
            value if math.isfinite(value) else None,
            loss,
            satisfied,
            tuple(float(f'{each:.4g}') for each in curve if math.isfinite(each)),
        )
        for text, curve, value, loss, satisfied in zip(
            arrays['geometry_constraints'].tolist(), curves, *columns, strict=True
        )
    )
