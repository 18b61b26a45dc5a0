"""Geometric constraints that a user orders structures with, such as ``coordination(Si,O)=6``, and how they act."""

from __future__ import annotations

import difflib
import math
import re
import typing as t
from collections.abc import Iterable, Sequence

import pydantic

from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.model import StrictModel

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('GeometricConstraint', 'GeometryOptions')

POLYHEDRA = ('octahedral', 'tetrahedral')
LINKED = ('corner_sharing', 'edge_sharing', 'face_sharing')
PAIRED = ('coordination', 'mean_coordination', 'bond_length', *POLYHEDRA, *LINKED)
"""Constraints on the neighbours B of the atoms A: they take ``(A,B)``."""

LENGTHS = ('a', 'b', 'c', 'b/a', 'c/a', 'c/b')
ANGLES = ('alpha', 'beta', 'gamma')
SCALARS = ('volume_per_atom', 'density', 'dimensionality', *LENGTHS, *ANGLES)
NAMES = (*PAIRED, 'min_distance', *SCALARS)

PER_ATOM = ('coordination', *LINKED)
"""A share of the atoms A may be asked for."""

COUNTED = (*PER_ATOM, 'dimensionality')
"""Their values are whole numbers, of which one needs no tolerance."""

POLYHEDRON_TOLERANCE = 15.0
"""Root mean square deviation of the angles at the centre up to which a polyhedron is regular, degrees."""

MISSING = {
    'composition': 'the formula, or the elements and the stoichiometry, of the request fix the composition',
    'space_group': 'the request takes a `space_group`, of which motifs are used',
    'motif': '`--mask` holds the atoms of a motif, and requests of mode `motifs` start from known crystals',
    'wyckoff': '`--mask` holds the positions of an orbit, as in orbit(Ni,191)=1/2,0,0',
    'kagome': '`--mask` holds the atoms of a net, as in kagome(Ni)',
}
"""What cannot be asked for as a geometric constraint → what can be done."""

POSSIBLE: dict[str, tuple[float, float]] = {
    'coordination': (0, 24),
    'mean_coordination': (0, 24),
    **dict.fromkeys(LINKED, (0, 36)),
    'bond_length': (0.5, 6),
    'min_distance': (0, 6),
    'volume_per_atom': (1, 500),
    'density': (0.01, 40),
    **dict.fromkeys(LENGTHS[:3], (1, 100)),
    **dict.fromkeys(LENGTHS[3:], (1, 100)),
    **dict.fromkeys(ANGLES, (60, 120)),
}
"""Values that crystals have, generously; the cell is the reduced one, with a ≤ b ≤ c and angles from 60 degrees."""

NUMBER = r'\d+(?:\.\d+)?'
SHAPE = re.compile(
    r'(?P<name>[A-Za-z_]+(?:/[a-z])?)\s*(?:\((?P<species>[^()]*)\))?\s*(?:(?P<sign><=|>=|≤|≥|=)\s*(?P<value>.*))?'
)
VALUE = re.compile(
    rf'(?P<value>{NUMBER})(?:\s*(?:±|\+/?-)\s*(?P<tolerance>{NUMBER})\s*(?P<percent>%)?|\s*\.\.\s*(?P<end>{NUMBER}))?'
)
SPECIES = re.compile(r'([A-Z][a-z]?)\s*,\s*(?:([A-Z][a-z]?)|\[([A-Za-z,\s]+)\])')
OPTION = re.compile(rf'(?P<name>[a-z_]+)\s*=\s*(?P<value>{NUMBER})\s*(?P<percent>%)?')
WRITTEN = {'min_distance': 'min_distance(A,B)>=VALUE', **{name: f'{name}(A,B)=VALUE' for name in PAIRED}}


class GeometricConstraint(StrictModel):
    """A window in which one quantity of a structure has to lie; its JSON may be the text, as in ``c/a=1.6±2%``.

    The text is ``NAME``, ``NAME(A,B)`` or ``NAME(A,[B,C])``, then ``=``, ``>=`` or ``<=`` and a value (``6``,
    ``6.8±5%``, ``6.8+-0.3`` or ``2.0..2.4``), then options such as ``; weight=2; share=50%; cutoff=2.4``.

    :param name: of the quantity. ``coordination``, ``mean_coordination`` (neighbours within the cutoff),
        ``bond_length`` (Å), ``octahedral`` and ``tetrahedral`` (root mean square deviation of the angles, degrees) of
        the atoms A; ``corner_sharing``, ``edge_sharing`` and ``face_sharing`` (other atoms A with which each has
        exactly one, exactly two, or three and more neighbours B in common); ``min_distance`` (Å) between A and B, or
        all atoms; ``volume_per_atom`` (Å3), ``density`` (g/cm3), lengths a ≤ b ≤ c of the reduced cell (Å), their
        ratios, its angles (degrees), ``dimensionality`` of the bonds.
    :param centre: element A.
    :param neighbours: elements B.
    :param minimum: smallest value, none if not given.
    :param maximum: largest value, none if not given.
    :param share: of the atoms A that a ``coordination``, or a number of linked polyhedra, is asked of.
    :param cutoff: longest bond, Å; 1.25 times the sum of the covalent radii if not given.
    :param weight: of this constraint beside the others.
    """

    name: t.Literal[
        'coordination',
        'mean_coordination',
        'bond_length',
        'octahedral',
        'tetrahedral',
        'corner_sharing',
        'edge_sharing',
        'face_sharing',
        'min_distance',
        'volume_per_atom',
        'density',
        'dimensionality',
        'a',
        'b',
        'c',
        'b/a',
        'c/a',
        'c/b',
        'alpha',
        'beta',
        'gamma',
    ]
    centre: str | None = None
    neighbours: tuple[str, ...] = ()
    minimum: float | None = pydantic.Field(None, ge=0)
    maximum: float | None = pydantic.Field(None, ge=0)
    share: float = pydantic.Field(1.0, gt=0, le=1)
    cutoff: float | None = pydantic.Field(None, gt=0, le=6)
    weight: float = pydantic.Field(1.0, gt=0, le=100)

    @classmethod
    def of_text(cls, text: str) -> GeometricConstraint:
        """Return the constraint that a text says.

        :raises InvalidInputError: quoting it, and what cannot be read or is impossible.
        """
        try:
            return cls.model_validate(text)
        except pydantic.ValidationError as exception:
            message = exception.errors(include_url=False)[0]['msg'].removeprefix('Value error, ')
            raise InvalidInputError(message if text in message else f'constraint `{text}`: {message}') from exception

    @pydantic.model_validator(mode='before')
    @classmethod
    def _read(cls, value: t.Any) -> t.Any:
        return _parsed(value) if isinstance(value, str) else value

    @pydantic.model_validator(mode='after')
    def _check(self) -> GeometricConstraint:
        problem = _species_problem(self) or _window_problem(self) or _option_problem(self)
        if problem:
            raise ValueError(f'constraint `{self.text}`: {problem}')
        return self

    @property
    def elements(self) -> tuple[str, ...]:
        """Return the elements without which the constraint means nothing, each once."""
        return tuple(dict.fromkeys((*([self.centre] if self.centre else []), *self.neighbours)))

    @property
    def quantity(self) -> str:
        """Return the name with the elements, as in ``coordination(Cu,[Si,P])``."""
        if self.centre is None:
            return self.name
        several = len(self.neighbours) > 1
        return f'{self.name}({self.centre},{"[" * several}{",".join(self.neighbours)}{"]" * several})'

    @property
    def text(self) -> str:
        """Return the constraint as it can be read again."""
        low, high = (None if limit is None else f'{limit:.10g}' for limit in (self.minimum, self.maximum))
        if low is not None and high is not None:
            window = f'={low}' if low == high else f'={low}..{high}'
        else:
            window = f'>={low}' if low is not None else f'<={high}' if high is not None else ''
        options = f'; share={self.share * 100:.10g}%' if self.share < 1 else ''
        options += '' if self.cutoff is None else f'; cutoff={self.cutoff:.10g}'
        return self.quantity + window + options + (f'; weight={self.weight:.10g}' if self.weight != 1 else '')


class GeometryOptions(StrictModel):
    """Geometric constraints, and how samples are pulled towards them; the generator is not trained for that.

    In each step the predicted clean structure is moved against each violated constraint, normalised per structure, in
    proportion to its violation, its weight and 1 − noise.

    :param constraints: what the structures have to satisfy, together.
    :param guided: whether they pull while structures are sampled; if not, they only judge and select.
    :param strength: 1 moves by the step that would end where a quadratic loss vanishes if there were no noise.
    :param begin: time of the reverse process, 1 is noise and 0 the end, from which they pull.
    :param recurrence: how often each step within the first half of the trajectory is taken back, by adding its noise
        again, and repeated: each costs an evaluation of the network.
    :param final_steps: most steps with which the finished structures are moved, with a constraint on overlaps.
    :param best_of: samples that are drawn for each one wanted, of which the one that satisfies most is kept.
    """

    constraints: tuple[GeometricConstraint, ...]
    guided: bool = True
    strength: float = pydantic.Field(2.0, gt=0, le=10)
    begin: float = pydantic.Field(1.0, gt=0, le=1)
    recurrence: int = pydantic.Field(0, ge=0, le=10)
    final_steps: int = pydantic.Field(60, ge=0, le=1000)
    best_of: int = pydantic.Field(1, ge=1, le=100)

    @classmethod
    def of_texts(cls, texts: str | Iterable[str], **options: t.Any) -> GeometryOptions:
        """Return the constraints that one text or several say, with other fields as ``options``.

        :raises InvalidInputError: quoting the first that cannot be read or is impossible, or two that contradict.
        """
        each = [texts] if isinstance(texts, str) else texts
        return cls.parse({'constraints': [GeometricConstraint.of_text(text) for text in each], **options})

    @pydantic.field_validator('constraints')
    @classmethod
    def _compatible(cls, value: tuple[GeometricConstraint, ...]) -> tuple[GeometricConstraint, ...]:
        if not value:
            raise ValueError('give one constraint or more')
        for index, each in enumerate(value):
            for other in value[:index]:
                if each.quantity == other.quantity and each.share + other.share > 1:
                    low = max(each.minimum or 0, other.minimum or 0)
                    if low > min(limit for limit in (each.maximum, other.maximum, float('inf')) if limit is not None):
                        raise ValueError(f'`{other.text}` and `{each.text}` contradict each other')
        return value

    def check_elements(self, known: Iterable[str], what: str) -> None:
        """Check that structures of some elements can have what is asked for.

        :param known: all elements of the structures.
        :param what: begins the text of the error.
        :raises InvalidInputError: if a constraint names an element that is absent.
        """
        present = set(known)
        for each in self.constraints:
            absent = [symbol for symbol in each.elements if symbol not in present]
            if absent:
                text = f'constraint `{each.text}` needs {", ".join(absent)}, but {what}'
                raise InvalidInputError(f'{text} has only {", ".join(sorted(present))}')

    def check_crystals(self, structures: Sequence[Structure]) -> None:
        """Check that some of the crystals have what is asked for; of others a constraint says nothing.

        :raises InvalidInputError: if a constraint names an element that no crystal has.
        """
        if structures:
            present = {element.symbol for structure in structures for element in structure.elements}
            self.check_elements(present, 'the set of crystals')


def _parsed(text: str) -> dict[str, t.Any]:
    """Return the fields of a constraint from its text.

    :raises ValueError: that quotes the text and the part which cannot be read.
    """
    head, *options = (part.strip() for part in text.split(';'))
    start = f'constraint `{text}`:'
    found = SHAPE.fullmatch(head)
    if found is None:
        example = '`coordination(Si,O)=6` or `volume_per_atom=6.8±5%`'
        raise ValueError(f'{start} `{head}` is not a constraint: write it as {example}')
    name = found['name']
    if name not in NAMES:
        raise ValueError(f'{start} {_unknown(name)}')
    values: dict[str, t.Any] = {'name': name}
    if found['species'] is not None:
        values.update(_parsed_species(start, found['species']))
    if found['sign'] is not None:
        values.update(_parsed_window(start, name, found['sign'], found['value'].strip()))
    elif name in LINKED:
        values['minimum'] = 1
    elif name not in POLYHEDRA:
        raise ValueError(f'{start} a value is missing, as in `{WRITTEN.get(name, f"{name}=VALUE")}`')
    if name in POLYHEDRA and 'maximum' not in values:
        values['maximum'] = POLYHEDRON_TOLERANCE
    for option in options:
        read = OPTION.fullmatch(option)
        if read is None or read['name'] not in ('weight', 'share', 'cutoff'):
            raise ValueError(f'{start} `{option}` is not an option: write `weight=2`, `share=50%` or `cutoff=2.4`')
        values[read['name']] = float(read['value']) / (100 if read['percent'] else 1)
    return values


def _unknown(name: str) -> str:
    """Return what to say about a name that does not exist."""
    if name in MISSING:
        return f'`{name}` is not among the geometric constraints: {MISSING[name]}'
    close = difflib.get_close_matches(name, NAMES, 1)
    return f'unknown constraint `{name}`: ' + (f'did you mean `{close[0]}`?' if close else f'it is {", ".join(NAMES)}')


def _parsed_species(start: str, text: str) -> dict[str, t.Any]:
    read = SPECIES.fullmatch(text.strip())
    if read is None:
        raise ValueError(f'{start} `({text})` is not a pair of elements: write `(Si,O)` or `(Cu,[Si,P])`')
    return {
        'centre': read[1],
        'neighbours': (read[2],) if read[2] else tuple(part.strip() for part in read[3].split(',')),
    }


def _parsed_window(start: str, name: str, sign: str, text: str) -> dict[str, float]:
    read = VALUE.fullmatch(text)
    if read is None:
        raise ValueError(f'{start} `{text}` is not a value: write 6, 6.8±5%, 6.8+-0.3 or 2.0..2.4, without a unit')
    value = float(read['value'])
    if sign != '=':
        if read['tolerance'] or read['end']:
            raise ValueError(f'{start} `{sign}` takes one number, not `{text}`')
        return {'minimum' if sign in ('>=', '≥') else 'maximum': value}
    if read['end']:
        return {'minimum': value, 'maximum': float(read['end'])}
    if read['tolerance'] is None:
        if name not in COUNTED:
            raise ValueError(f'{start} a structure has no exact {name}: give a tolerance, as in {text}±5%')
        return {'minimum': value, 'maximum': value}
    half = float(read['tolerance']) * (value / 100 if read['percent'] else 1)
    return {'minimum': round(max(value - half, 0.0), 8), 'maximum': round(value + half, 8)}


def _species_problem(constraint: GeometricConstraint) -> str:
    """Return what is wrong with the elements, empty if nothing."""
    name, centre, neighbours = constraint.name, constraint.centre, constraint.neighbours
    unknown = [symbol for symbol in constraint.elements if symbol not in ATOMIC_NUMBERS]
    if unknown:
        return f'unknown element {", ".join(unknown)}'
    if len(set(neighbours)) < len(neighbours):
        return 'a neighbour stands twice'
    if (centre is None) != (not neighbours) or (name in PAIRED and centre is None):
        return f'the elements A and B are missing, as in `{WRITTEN.get(name, name)}`'
    return f'`{name}` does not take elements' if name in SCALARS and centre else ''


def _window_problem(constraint: GeometricConstraint) -> str:
    """Return what is wrong with the window, empty if nothing."""
    name, low, high = constraint.name, constraint.minimum, constraint.maximum
    if low is None and high is None:
        return 'a value is missing'
    if low is not None and high is not None and low > high:
        return f'the window ends at {high:.10g}, before it begins'
    if high == 0 and name not in COUNTED:
        return 'the largest value is 0'
    if name in COUNTED and any(limit is not None and limit != int(limit) for limit in (low, high)):
        return f'`{name}` takes whole numbers'
    smallest, largest = POSSIBLE.get(name, (-math.inf, math.inf))
    if (low is not None and low > largest) or (high is not None and high < smallest):
        return f'no crystal satisfies this: {name} is between {smallest:g} and {largest:g}'
    return _limit_problem(name, low, high)


def _limit_problem(name: str, low: float | None, high: float | None) -> str:
    """Return which limit the quantity cannot have, empty if none."""
    if name == 'dimensionality' and not (low == high and low in (0, 1, 2)):
        return '0 are molecules, 1 chains and 2 layers: give one of them'
    if name == 'min_distance' and high is not None:
        return 'give the smallest distance, as in `min_distance>=1.5`'
    if name in POLYHEDRA and (low is not None or (high or 0) > 60):
        return f'give the largest deviation of the angles, up to 60 degrees, as in `{name}(A,B)<=15`'
    return 'angles are below 180 degrees' if name in ANGLES and max(low or 0, high or 0) > 179 else ''


def _option_problem(constraint: GeometricConstraint) -> str:
    """Return which option does not belong to the constraint, empty if all do."""
    if constraint.share < 1 and constraint.name not in PER_ATOM:
        return f'`share` belongs to {", ".join(f"`{name}`" for name in PER_ATOM)}'
    return '`cutoff` belongs to the neighbours of atoms' if constraint.cutoff and constraint.name not in PAIRED else ''
