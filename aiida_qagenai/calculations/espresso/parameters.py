"""Typed parameters of one single point by pw.x, and the namelists that they become."""

from __future__ import annotations

import math
import typing as t

import pydantic
from pymatgen.core import Element

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.model import StrictModel

__all__ = (
    'FUNCTIONALS',
    'ExchangeOptions',
    'Hubbard',
    'HubbardTerm',
    'Projectors',
    'PwParameters',
    'manifold_of',
    'split_by_moment',
)


def _check_half(value: float) -> float:
    if value not in {0.0, 0.5}:
        raise ValueError('pw.x displaces a mesh by half a step or not at all')
    return value


Mesh = tuple[pydantic.PositiveInt, pydantic.PositiveInt, pydantic.PositiveInt]
Half = t.Annotated[float, pydantic.AfterValidator(_check_half)]
Projectors = t.Literal['atomic', 'ortho-atomic']

FUNCTIONALS = {Fidelity.PBE: 'PBE', Fidelity.SCAN: 'SCAN', Fidelity.HSE06: 'HSE'}
"""What pw.x calls the functionals; SCAN needs a pw.x that was built with libxc."""

LEAST_EMPTY = 4
"""Empty levels at least where they are asked for."""

TWO_P = ('C', 'N', 'O')
"""Elements of the p block that pw.x before 7.1 knows a shell for U of."""


class HubbardTerm(StrictModel):
    """The on-site repulsion of the open shell of one element, rotationally averaged (Dudarev)."""

    U: float = pydantic.Field(gt=0, description='eV')
    source: str = pydantic.Field(min_length=1, description='Where the value comes from, for people.')


def _check_manifolds(terms: dict[str, HubbardTerm]) -> dict[str, HubbardTerm]:
    for symbol in terms:
        try:
            manifold_of(symbol)
        except InvalidInputError as exception:
            raise ValueError(str(exception)) from exception
    return terms


Hubbard = t.Annotated[dict[str, HubbardTerm], pydantic.AfterValidator(_check_manifolds)]
"""U by element, of elements that have a shell for it."""


class ExchangeOptions(StrictModel):
    """Exact exchange of HSE06."""

    nq: Mesh = pydantic.Field(description='Mesh of differences of k-points; divides the mesh of k-points.')
    ecutfock: pydantic.PositiveFloat | None = pydantic.Field(
        None, description='Cutoff of exchange, Ry; that of the density by default.'
    )


class PwParameters(StrictModel):
    """Everything that decides the energy beside the structure and its pseudopotentials."""

    fidelity: Fidelity
    ecutwfc: pydantic.PositiveFloat = pydantic.Field(description='Cutoff of the orbitals, Ry.')
    ecutrho: pydantic.PositiveFloat = pydantic.Field(description='Cutoff of the density, Ry.')
    kmesh: Mesh = pydantic.Field((1, 1, 1), description='k-points along each reciprocal vector.')
    kmesh_shift: tuple[Half, Half, Half] = pydantic.Field((0.0, 0.0, 0.0), description='In steps of the mesh.')
    degauss: pydantic.PositiveFloat | None = pydantic.Field(
        None, description='Width of the cold smearing, Ry; without it the occupations are fixed.'
    )
    empty_levels: pydantic.PositiveFloat | None = pydantic.Field(
        None, description='Empty levels for each occupied one; by default those that pw.x takes.'
    )
    conv_thr: pydantic.PositiveFloat = pydantic.Field(description='Energy threshold of the SCF, Ry per cell.')
    max_cycle: pydantic.PositiveInt = 100
    mixing_beta: float = pydantic.Field(0.4, gt=0, le=1, description='Fraction of the new density.')
    spin_polarized: bool = pydantic.Field(False, description='Two spin densities.')
    moments: list[float] | None = pydantic.Field(
        None, description='Moment (μB) of each site that the density begins with, in the order of the sites.'
    )
    spin: int | None = pydantic.Field(
        None, description='Electrons of spin up minus those of spin down per cell, fixed; free by default.'
    )
    hubbard: Hubbard = pydantic.Field({}, description='U by element.')
    hubbard_projectors: Projectors = pydantic.Field('ortho-atomic', description='Orbitals that U acts on.')
    hubbard_card: bool = pydantic.Field(False, description='Write U as pw.x reads it from version 7.1 on.')
    exchange: ExchangeOptions | None = None
    box: pydantic.PositiveFloat | None = pydantic.Field(
        None, description='Edge of the cell that a molecule is put into, Å; none for a crystal.'
    )

    @pydantic.model_validator(mode='after')
    def _consistent(self) -> PwParameters:
        known = self.fidelity in FUNCTIONALS
        hybrid = self.fidelity is Fidelity.HSE06
        nq = self.exchange.nq if self.exchange is not None else (1, 1, 1)
        moments = self.moments or []
        problems = (
            (not known, 'pw.x computes PBE, SCAN and HSE06, not CCSD(T): use the engine pyscf'),
            (hybrid != (self.exchange is not None), '`exchange` goes with HSE06'),
            (any(k % q for k, q in zip(self.kmesh, nq, strict=True)), '`exchange.nq` must divide `kmesh`'),
            (hybrid and bool(self.hubbard), '`hubbard` is for PBE and SCAN: HSE06 has exact exchange'),
            (self.ecutrho < 4 * self.ecutwfc, '`ecutrho` must be at least four times `ecutwfc`'),
            (self.moments is not None and not self.spin_polarized, '`moments` need `spin_polarized`'),
            (bool(self.spin) and not self.spin_polarized, '`spin` needs `spin_polarized`'),
            (
                self.spin_polarized and not any(moments),
                '`spin_polarized` needs `moments` that are not all zero: pw.x would stay at the nonmagnetic solution',
            ),
            (
                self.degauss is None and self.spin_polarized and self.spin is None,
                'fixed occupations of two spins need `spin`',
            ),
        )
        for wrong, text in problems:
            if wrong:
                raise ValueError(text)
        return self

    @property
    def functional(self) -> str:
        """Return the name of the functional for pw.x."""
        return FUNCTIONALS[self.fidelity]

    def with_larger_moments(self, factor: float) -> PwParameters:
        """Return parameters whose density begins with moments that are ``factor`` times as large."""
        moments = None if self.moments is None else [factor * moment for moment in self.moments]
        return self.model_copy(update={'moments': moments})

    def namelists(self, symbols: t.Sequence[str], valence: t.Mapping[str, float]) -> dict[str, dict[str, t.Any]]:
        """Return the namelists of pw.x.

        :param symbols: element of each site; the kinds are those of :func:`split_by_moment`.
        :param valence: electrons of each element beside its pseudopotential.
        """
        kinds = split_by_moment(symbols, self.moments)
        system: dict[str, t.Any] = {
            'ecutwfc': self.ecutwfc,
            'ecutrho': self.ecutrho,
            'input_dft': self.functional,
            'occupations': 'fixed',
        }
        if self.degauss is not None:
            system.update(occupations='smearing', smearing='cold', degauss=self.degauss)
        if self.spin_polarized and self.moments is not None:
            sites = zip(kinds, symbols, self.moments, strict=True)
            # In units of the valence electrons, which pw.x admits up to all of.
            fractions = {kind: max(-1.0, min(1.0, moment / valence[symbol])) for kind, symbol, moment in sites}
            system.update(nspin=2, starting_magnetization=fractions)
            if self.spin is not None:
                system['tot_magnetization'] = self.spin
        if self.empty_levels is not None:
            occupied = math.ceil(sum(valence[symbol] for symbol in symbols) / 2)
            system['nbnd'] = occupied + max(LEAST_EMPTY, math.ceil(self.empty_levels * occupied))
        if self.exchange is not None:
            system.update(_exact_exchange(self.exchange))
        repulsion = {
            kind: self.hubbard[symbol].U for kind, symbol in zip(kinds, symbols, strict=True) if symbol in self.hubbard
        }
        if repulsion and not self.hubbard_card:
            system.update(lda_plus_u=True, hubbard_u=repulsion, u_projection_type=self.hubbard_projectors)
        electrons = {'conv_thr': self.conv_thr, 'electron_maxstep': self.max_cycle, 'mixing_beta': self.mixing_beta}
        return {'CONTROL': {'calculation': 'scf'}, 'SYSTEM': system, 'ELECTRONS': electrons}


def split_by_moment(symbols: t.Sequence[str], moments: t.Sequence[float] | None) -> list[str]:
    """Return the kind of each site: its element, numbered where sites of one element begin with different moments."""
    given = list(moments) if moments is not None else [0.0] * len(symbols)
    values = {
        symbol: sorted({moment for other, moment in zip(symbols, given, strict=True) if other == symbol}, reverse=True)
        for symbol in symbols
    }
    return [
        symbol if len(values[symbol]) == 1 else f'{symbol}{values[symbol].index(moment) + 1}'
        for symbol, moment in zip(symbols, given, strict=True)
    ]


def manifold_of(symbol: str) -> str:
    """Return the shell that U acts on, as ``3d``.

    :raises InvalidInputError: for an element without an open d, f or 2p shell.
    """
    element = Element(symbol) if Element.is_valid_symbol(symbol) else None
    if element is not None:
        if element.block in {'d', 'f'}:
            return f'{element.row - {"d": 1, "f": 2}[element.block]}{element.block}'
        if symbol in TWO_P:
            return '2p'
    message = f'`hubbard.{symbol}`: U is for elements of the d and f blocks and for {", ".join(TWO_P)}'
    raise InvalidInputError(message)


def _exact_exchange(exchange: ExchangeOptions) -> dict[str, t.Any]:
    """Return the variables of HSE06."""
    first, second, third = exchange.nq
    values: dict[str, t.Any] = {
        'nqx1': first,
        'nqx2': second,
        'nqx3': third,
        'exxdiv_treatment': 'gygi-baldereschi',
        # It takes every other point of a mesh out, which an odd mesh does not have.
        'x_gamma_extrapolation': all(number % 2 == 0 for number in exchange.nq),
    }
    return {**values, **({'ecutfock': exchange.ecutfock} if exchange.ecutfock is not None else {})}
