"""What can be asked of the generator: the entries of ``requests`` in the configuration of the task ``generate``."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pydantic

from aiida_qagenai.chemistry.elements import require_elements
from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.exchange.masks import SiteMask
from aiida_qagenai.selection.targets import Target, parse_target

__all__ = (
    'ChemicalSystemRequest',
    'CompositionRequest',
    'Count',
    'FreeRequest',
    'MotifsRequest',
    'Request',
    'StructuresRequest',
    'check_mask',
    'elements_of',
)

Count = t.Annotated[int, pydantic.Field(ge=1)]


class CompositionRequest(StrictModel):
    """Structures of exactly one cell content, such as ``{"Li": 2, "H": 2}``."""

    mode: t.Literal['composition']
    composition: dict[str, pydantic.PositiveInt] = pydantic.Field(min_length=1)
    count: Count


class ChemicalSystemRequest(StrictModel):
    """Structures of any content that uses no other elements than these."""

    mode: t.Literal['chemical_system']
    elements: tuple[str, ...] = pydantic.Field(min_length=1)
    min_atoms: Count = 1
    max_atoms: Count
    count: Count

    @pydantic.model_validator(mode='after')
    def _check(self) -> ChemicalSystemRequest:
        _check_bounds(self.min_atoms, self.max_atoms)
        if len(set(self.elements)) != len(self.elements):
            raise ValueError(f'elements {list(self.elements)} contain a duplicate')
        return self


class FreeRequest(StrictModel):
    """Structures of any content of the elements that the generator was trained on."""

    mode: t.Literal['free']
    min_atoms: Count = 1
    max_atoms: Count
    count: Count

    @pydantic.model_validator(mode='after')
    def _check(self) -> FreeRequest:
        _check_bounds(self.min_atoms, self.max_atoms)
        return self


class StructuresRequest(StrictModel):
    """Structures that sampling starts from, such as known ones with other elements.

    :param structures: packed structures, in any setting.
    :param noise: noise level that is added first, from nearly nothing to 1, which leaves only cell content and, if
        kept, symmetry.
    :param symmetry: whether the samples keep the space group of their start.
    :param tolerance: of the search for its operations, Å.
    :param count: samples of each structure.
    """

    mode: t.Literal['structures']
    structures: Path
    noise: float = pydantic.Field(0.3, gt=0, le=1)
    symmetry: t.Literal['keep', 'free'] = 'keep'
    tolerance: float = pydantic.Field(0.01, gt=0, le=1)
    count: Count = 1


class MotifsRequest(StrictModel):
    """Structures that sampling starts from known crystals for: motifs whose elements are exchanged for the wanted ones.

    :param formula: of the structures, such as SrTiO3; or
    :param elements: of a chemical system, all of which every structure has; or, with ``pool``, two to four of which.
    :param stoichiometry: the only anonymous formula of a chemical system, such as ABX3.
    :param novelty: noise level t0 that is added to the motif, from 0 (the motif, refined) to 1 (only its cell content
        and, if kept, its symmetry are left).
    :param refine: whether the generator moves atoms and cell of a motif without noise to where it expects them; a known
        crystal of the composition stays as it is.
    :param symmetry: whether the samples keep the space group of their motif.
    :param count: samples in all; motifs are drawn by their probability.
    :param formula_units: in the primitive cell; any number if not given.
    :param space_group: of the motifs, 1–230; any if not given.
    :param exclude: formulas whose known crystals are not used.
    :param exclude_system: whether no known compound of the wanted elements is used: what is known is then rediscovered.
    :param target: band gap or modulus such as ``band_gap=3`` or ``metallic``: of many motifs those start the samples
        whose predicted one is near it.
    :param library: packed crystals that are motifs too; with ``only_library``, the only ones.
    :param otherwise: what happens if no known crystal fits: an ``error``, or samples from ``noise`` with a warning;
        these also take the place of what motifs without noise, each of which is there once, leave of ``count``.
    """

    mode: t.Literal['motifs']
    formula: str | None = None
    elements: tuple[str, ...] | None = None
    pool: bool = False
    stoichiometry: str | None = None
    novelty: float = pydantic.Field(0.0, ge=0, le=1)
    refine: bool = True
    symmetry: t.Literal['keep', 'free'] = 'keep'
    count: Count
    formula_units: Count | None = None
    min_atoms: Count = 1
    max_atoms: Count = 40
    space_group: int | None = pydantic.Field(None, ge=1, le=230)
    exclude: tuple[str, ...] = ()
    exclude_system: bool = False
    target: str | None = None
    library: Path | None = None
    only_library: bool = False
    otherwise: t.Literal['error', 'noise'] = 'error'

    @pydantic.model_validator(mode='after')
    def _check(self) -> MotifsRequest:
        _check_bounds(self.min_atoms, self.max_atoms)
        if (self.formula is None) == (self.elements is None):
            raise ValueError('give either a `formula` or the `elements` of a chemical system')
        if self.only_library and self.library is None:
            raise ValueError('`only_library` needs a `library`')
        _ = self.composition, self.wish, [parse_formula(formula) for formula in self.exclude]
        if self.elements is not None:
            _check_elements(self.elements)
        if self.pool and (self.elements is None or self.stoichiometry is not None):
            raise ValueError('a `pool` needs `elements`, and no `stoichiometry`')
        if self.stoichiometry is not None:
            if self.elements is None:
                raise ValueError('`stoichiometry` belongs to a chemical system: leave it out, or give `elements`')
            if len(self.amounts or ()) != len(self.elements):
                text = f'`{self.stoichiometry}` has {len(self.amounts or ())} elements'
                raise ValueError(f'{text}, but {len(self.elements)} are given')
        return self

    @property
    def composition(self) -> dict[str, int] | None:
        """Return element → amount of the formula; ``None`` for a chemical system.

        :raises InvalidInputError: on a formula with fractions, or an element that does not exist.
        """
        if self.formula is None:
            return None
        amounts = parse_formula(self.formula)
        if any(abs(amount - round(amount)) > 1e-6 for amount in amounts.values()):
            raise ValueError(f'`{self.formula}` has fractional amounts: multiply the formula until all are whole')
        return {element: round(amount) for element, amount in amounts.items()}

    @property
    def amounts(self) -> tuple[int, ...] | None:
        """Return the amounts of the stoichiometry, ascending; ``None`` if any is wanted."""
        if self.stoichiometry is None:
            return None
        parts = re.findall(r'([A-Z])(\d*)', self.stoichiometry)
        letters = {letter for letter, _ in parts}
        if ''.join(letter + number for letter, number in parts) != self.stoichiometry or len(letters) != len(parts):
            message = 'is not an anonymous formula: use one capital letter per element, as in ABX3'
            raise ValueError(f'`{self.stoichiometry}` {message}')
        return tuple(sorted(int(number or 1) for _, number in parts))

    @property
    def wish(self) -> Target | None:
        """Return the target.

        :raises InvalidInputError: if the text is none.
        """
        return None if self.target is None else parse_target(self.target)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the elements of the structures."""
        return tuple(self.composition or self.elements or ())


Request = t.Annotated[
    CompositionRequest | ChemicalSystemRequest | FreeRequest | StructuresRequest | MotifsRequest,
    pydantic.Field(discriminator='mode'),
]


def elements_of(request: Request) -> tuple[str, ...] | None:
    """Return the elements that the structures of a request may have, ``None`` if the request does not say them."""
    if isinstance(request, CompositionRequest):
        return tuple(request.composition)
    if isinstance(request, ChemicalSystemRequest):
        return request.elements
    return request.symbols if isinstance(request, MotifsRequest) else None


def check_mask(mask: SiteMask, request: Request, what: str) -> None:
    """Check that the structures of a request can have the atoms that a mask holds.

    :param what: begins the text of the error.
    :raises InvalidInputError: if they start from known structures, or have too few atoms or other elements.
    """
    if isinstance(request, CompositionRequest):
        mask.check_content(request.composition, what)
    elif isinstance(request, ChemicalSystemRequest | FreeRequest):
        mask.check_elements(elements_of(request) or mask.amounts, what)
        if request.max_atoms < len(mask):
            raise InvalidInputError(f'the mask holds {len(mask)} atoms, but {what} has at most {request.max_atoms}')
    else:
        raise InvalidInputError(f'{what} starts from known crystals: with a mask, sampling starts from noise')


def _check_bounds(minimum: int, maximum: int) -> None:
    if minimum > maximum:
        raise ValueError(f'min_atoms {minimum} exceeds max_atoms {maximum}')


def _check_elements(symbols: tuple[str, ...]) -> None:
    if len(require_elements(symbols)) < len(symbols):
        raise ValueError(f'an element stands twice in {" ".join(symbols)}')
