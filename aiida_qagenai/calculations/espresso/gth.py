"""Pseudopotentials of Goedecker, Teter and Hutter as UPF files, so that PySCF and pw.x compute with the same ones.

The formulas are those of Goedecker, Teter and Hutter, Phys. Rev. B 54, 1703 (1996), with the projectors of Hartwigsen,
Goedecker and Hutter, Phys. Rev. B 58, 3641 (1998).
"""

from __future__ import annotations

import tempfile
import typing as t
from pathlib import Path

import numpy as np
from aiida_pseudo.data.pseudo import UpfData
from aiida_pseudo.groups.family import CutoffsPseudoPotentialFamily
from numpy.typing import NDArray
from pymatgen.core import Element
from scipy.special import erf, gamma

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('gth_parameters', 'gth_to_upf', 'install_gth_family', 'recommend_cutoff')

POINTS, SMALLEST, LARGEST, PROJECTOR_END = 2001, 1e-5, 40.0, 8.0
"""The logarithmic radial mesh (bohr) and the radius beyond which the projectors are zero."""

MEASURED_CUTOFFS = {'H': 260, 'Li': 150, 'B': 150, 'C': 200, 'N': 260, 'O': 340, 'F': 420, 'Al': 80, 'Si': 80}
"""Of the orbitals with `gth-pbe`, Ry, at which total energies are converged to some 0.01 eV/atom.

The last step tried moves Si, diamond and BN by 0.003 eV/atom and LiF by 0.02; H and N were not tried beyond 260 Ry.
"""

SMOOTHNESS = 20.0
"""Cutoff of the orbitals (Ry) times the square of the smallest radius (bohr) where none was measured.

Of the elements with a measured cutoff this is 10 (H) to 25 (Li).
"""

UPF = """<UPF version="2.0.1">
<PP_INFO>{name} of PySCF</PP_INFO>
<PP_HEADER generated="" author="" date="" comment="" element="{symbol}" pseudo_type="NC" relativistic="scalar"
 is_ultrasoft="F" is_paw="F" is_coulomb="F" has_so="F" has_wfc="F" has_gipaw="F" core_correction="F" functional="PBE"
 z_valence="{valence:.2f}" total_psenergy="0.0" wfc_cutoff="0.0" rho_cutoff="0.0" l_max="{largest_momentum}"
 l_local="-3" mesh_size="{points}" number_of_wfc="0" number_of_proj="{number}"/>
<PP_MESH mesh="{points}">
{radii}
{weights}
</PP_MESH>
{local}
<PP_NONLOCAL>
{projectors}
</PP_NONLOCAL>
<PP_PSWFC>
</PP_PSWFC>
{density}
</UPF>
"""


def gth_parameters(name: str, symbol: str) -> list[t.Any]:
    """Return a pseudopotential as PySCF has it, see :func:`gth_to_upf`.

    :param name: as PySCF calls it, `gth-pbe`.
    :raises InvalidInputError: if PySCF is not installed here, or has no such pseudopotential.
    """
    if not Element.is_valid_symbol(symbol):
        raise InvalidInputError(f'unknown element `{symbol}`')
    try:
        from pyscf.pbc.gto.pseudo import load
    except ImportError as exception:
        message = 'the pseudopotentials are those of PySCF: install the extra: pip install "aiida-qagenai[pyscf]"'
        raise InvalidInputError(message) from exception
    try:
        return list(load(name, symbol))
    except (KeyError, RuntimeError, ValueError) as exception:
        raise InvalidInputError(f'PySCF has no pseudopotential {name} of {symbol}') from exception


def recommend_cutoff(symbol: str, values: t.Sequence[t.Any]) -> float:
    """Return the cutoff of the orbitals, Ry: measured, or estimated from the smallest radius.

    :param values: see :func:`gth_to_upf`.
    """
    if symbol in MEASURED_CUTOFFS:
        return float(MEASURED_CUTOFFS[symbol])
    _, local_radius, _, _, _, *channels = values
    smallest = min([local_radius, *(radius for radius, number, _ in channels if number)])
    return float(np.ceil(SMOOTHNESS / smallest**2 / 10) * 10)


def install_gth_family(label: str, symbols: t.Collection[str], name: str = 'gth-pbe') -> dict[str, float]:
    """Store a family of UPF files of aiida-pseudo, and return the recommended cutoffs of the orbitals, Ry.

    :param label: of the family.
    :raises InvalidInputError: if the label is taken, or PySCF lacks an element.
    """
    if not name.endswith('pbe'):
        raise InvalidInputError(f'{name} is not of PBE, which the engine espresso computes with: use gth-pbe')
    values = {symbol: gth_parameters(name, symbol) for symbol in sorted(set(symbols))}
    cutoffs = {symbol: recommend_cutoff(symbol, content) for symbol, content in values.items()}
    if CutoffsPseudoPotentialFamily.collection.count(filters={'label': label}):
        raise InvalidInputError(f'a family {label} exists: choose another label')
    with tempfile.TemporaryDirectory() as folder:
        for symbol, content in values.items():
            path = Path(folder) / f'{symbol}.{name}.upf'
            path.write_text(gth_to_upf(symbol, content, name), encoding='utf-8')
        family = CutoffsPseudoPotentialFamily.create_from_folder(
            Path(folder), label, description=f'{name} of PySCF', pseudo_type=UpfData
        )
    recommended = {symbol: {'cutoff_wfc': value, 'cutoff_rho': 4 * value} for symbol, value in cutoffs.items()}
    family.set_cutoffs(recommended, 'normal', unit='Ry')
    return cutoffs


def local_potential(
    r: NDArray[np.float64], valence: int, radius: float, coefficients: list[float]
) -> NDArray[np.float64]:
    """Return the local part, Ha, at the radii r (bohr): equation 1 of Goedecker 1996."""
    x = r / radius
    polynomial = sum(c * x ** (2 * power) for power, c in enumerate(coefficients))
    return np.asarray(-valence / r * erf(x / np.sqrt(2)) + np.exp(-(x**2) / 2) * polynomial)


def projector(r: NDArray[np.float64], momentum: int, number: int, radius: float) -> NDArray[np.float64]:
    """Return the projector p_i^l(r), i = 1, 2, …: equation 3 of Hartwigsen 1998."""
    power = momentum + (4 * number - 1) / 2
    norm = np.sqrt(2) / (radius**power * np.sqrt(gamma(power)))
    return np.asarray(norm * r ** (momentum + 2 * (number - 1)) * np.exp(-(r**2) / (2 * radius**2)))


def _field(name: str, values: NDArray[np.float64], attributes: str = '') -> str:
    """Return numbers as an element of UPF."""
    lines = (' '.join(f'{value:.14E}' for value in values[at : at + 4]) for at in range(0, len(values), 4))
    return f'<{name} type="real" size="{len(values)}" columns="4"{attributes}>\n' + '\n'.join(lines) + f'\n</{name}>'


def gth_to_upf(symbol: str, values: t.Sequence[t.Any], name: str = 'gth-pbe') -> str:
    """Return a pseudopotential as UPF: radial functions times r, energies in Ry.

    :param values: electrons by angular momentum; radius, number and coefficients of the local part; number of angular
        momenta; and for each the radius, the number of projectors and their matrix.
    :param name: how PySCF calls it.
    """
    electrons, local_radius, _, coefficients, _, *channels = values
    valence, step = sum(electrons), np.log(LARGEST / SMALLEST) / (POINTS - 1)
    r = SMALLEST * np.exp(step * np.arange(POINTS))
    projectors = [
        (momentum, r * projector(r, momentum, index, radius))
        for momentum, (radius, number, _) in enumerate(channels)
        for index in range(1, number + 1)
    ]
    matrix, start = np.zeros((len(projectors), len(projectors))), 0
    for _, number, block in channels:
        if number:
            matrix[start : start + number, start : start + number] = 2 * np.array(block, float)
            start += number
    last = int(np.searchsorted(r, PROJECTOR_END)) | 1
    end = f' cutoff_radius_index="{last}" cutoff_radius="{PROJECTOR_END}"'
    texts = [
        _field(f'PP_BETA.{index}', values, f' index="{index}" angular_momentum="{momentum}"{end}')
        for index, (momentum, values) in enumerate(projectors, 1)
    ]
    # Where the density starts from; it does not matter which.
    density = r**2 * np.exp(-((r / 1.2) ** 2))
    return UPF.format(
        name=name,
        symbol=symbol,
        valence=valence,
        largest_momentum=max((momentum for momentum, _ in projectors), default=0),
        points=POINTS,
        number=len(projectors),
        radii=_field('PP_R', r),
        weights=_field('PP_RAB', r * step),
        local=_field('PP_LOCAL', 2 * local_potential(r, valence, local_radius, coefficients)),
        projectors='\n'.join([*texts, *([_field('PP_DIJ', matrix.ravel())] if projectors else [])]),
        density=_field('PP_RHOATOM', density * valence / np.sum(density * r * step)),
    )
