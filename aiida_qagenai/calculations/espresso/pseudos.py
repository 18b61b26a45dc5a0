"""Pseudopotentials of pw.x: families of aiida-pseudo, their cutoffs, and what a UPF file says of itself."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import typing as t

from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida_pseudo.groups.family import PseudoPotentialFamily
from aiida_pseudo.groups.mixins import RecommendedCutoffMixin

from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from aiida_pseudo.data.pseudo import UpfData

__all__ = (
    'find_pseudos',
    'functional_problem',
    'hash_of_family',
    'is_installed',
    'is_norm_conserving',
    'load_family',
    'missing_extra',
    'orbitals_of',
)

FUNCTIONAL = re.compile(r'functional\s*=\s*"([^"]*)"|^\s*(.*?)\s+Exchange-Correlation functional', re.MULTILINE)
KIND = re.compile(r'pseudo_type\s*=\s*"\s*([^"]*?)\s*"|^\s*(\w+)\s+(?:Norm|Ultrasoft|Projector)', re.MULTILINE)
CHI = re.compile(r'<PP_CHI\.\d+\b([^>]*)>')
OLD_CHI = re.compile(r'Wavefunctions\s+nl\s+l\s+occ\s*\n((?:\s*\d\w\s+\d\s+[-\d.]+\s*\n)+)')
PBE_NAMES = ('PBE', 'SLA PW PBE PBE', 'SLA PW PBX PBC')
"""How UPF files call PBE; the long forms name its parts."""

NORM_CONSERVING = ('NC', 'SL')
"""Kinds of UPF whose norm is conserved: separable and semilocal; others are US, USPP, PAW and 1/r."""


def is_installed() -> bool:
    """Return whether aiida-quantumespresso can be imported."""
    return importlib.util.find_spec('aiida_quantumespresso') is not None


def missing_extra() -> str | None:
    """Return what has to be installed before pw.x can be run, or None."""
    if is_installed():
        return None
    return 'the engine espresso needs aiida-quantumespresso: install the extra: pip install "aiida-qagenai[espresso]"'


def find_pseudos(
    label: str, symbols: t.Collection[str], ecutwfc: float | None, ecutrho: float | None
) -> tuple[t.Any, dict[str, UpfData], tuple[float, float]]:
    """Return a family, its pseudopotentials by element, and the cutoffs of the orbitals and of the density, Ry.

    :param label: of the family.
    :param ecutwfc: cutoff of the orbitals, with ``ecutrho``; by default the family recommends both.
    :raises InvalidInputError: if the extra or the family is not installed, an element has no pseudopotential or one of
        another functional, or nothing gives the cutoffs.
    """
    problem = missing_extra()
    if problem is not None:
        raise InvalidInputError(problem)
    family, elements = load_family(label), tuple(sorted(set(symbols)))
    missing = sorted(set(elements) - set(family.elements))
    if missing:
        known = ', '.join(sorted(family.elements))
        message = f'the family {family.label} has no pseudopotential for {", ".join(missing)}; it has {known}'
        raise InvalidInputError(message)
    pseudos = dict(family.get_pseudos(elements=elements))
    problem = functional_problem(pseudos)
    if problem is not None:
        raise InvalidInputError(problem)
    return family, pseudos, find_cutoffs(family, ecutwfc, ecutrho, elements)


def load_family(label: str) -> t.Any:
    """Return an installed family of pseudopotentials.

    :raises InvalidInputError: if it is not installed, with the command that installs it.
    """
    try:
        return orm.QueryBuilder().append(PseudoPotentialFamily, filters={'label': label}).one()[0]
    except NotExistent as exception:
        command = 'aiida-pseudo install family FOLDER LABEL -P pseudo.upf -F pseudo.family.cutoffs'
        parts = label.split('/')
        if parts[0] == 'SSSP' and len(parts) == 4:
            command = (
                f'aiida-pseudo install sssp -v {parts[1]} -x {parts[2]} -p {parts[3]}`, or from UPF files `{command}'
            )
        message = f'the family of pseudopotentials {label} is not installed: run `{command}`'
        raise InvalidInputError(message) from exception


def hash_of_family(family: t.Any) -> str:
    """Return eight digits that change with any file of a family."""
    lines = sorted(f'{pseudo.element} {pseudo.md5}' for pseudo in family.nodes)
    return hashlib.sha256('\n'.join(lines).encode()).hexdigest()[:8]


def find_cutoffs(
    family: t.Any, ecutwfc: float | None, ecutrho: float | None, elements: tuple[str, ...]
) -> tuple[float, float]:
    """Return the cutoffs of the orbitals and of the density, Ry: the given ones, or those the family recommends.

    :raises InvalidInputError: if there are neither.
    """
    if ecutwfc is not None and ecutrho is not None:
        return ecutwfc, ecutrho
    problem = 'it has no cutoffs'
    if isinstance(family, RecommendedCutoffMixin):
        try:
            return t.cast('tuple[float, float]', family.get_recommended_cutoffs(elements=elements, unit='Ry'))
        except ValueError as exception:
            problem = str(exception)
    message = (
        f'the family {family.label} recommends no cutoffs ({problem}): give `espresso: {{ecutwfc, ecutrho}}` (Ry), or '
        'set them once with `aiida-pseudo family cutoffs set`'
    )
    raise InvalidInputError(message)


def functional_problem(pseudos: t.Mapping[str, UpfData]) -> str | None:
    """Return which pseudopotential is of another functional than PBE."""
    for name, pseudo in pseudos.items():
        functional = functional_of(pseudo)
        if functional is not None and functional not in PBE_NAMES:
            return f'the pseudopotential {pseudo.filename} of {name} is of {functional}, not of PBE'
    return None


def functional_of(pseudo: UpfData) -> str | None:
    """Return the functional that a UPF file says it was made with, or None if it does not say."""
    found = FUNCTIONAL.search(pseudo.get_content())
    if found is None:
        return None
    words = (found[1] or found[2]).upper().split()
    # The old header ends the parts by the name of the whole: SLA PW PBE PBE PBE.
    return ' '.join(words[:4])


def is_norm_conserving(pseudo: UpfData) -> bool:
    """Return whether a UPF file is norm-conserving; others are ultrasoft or PAW."""
    found = KIND.search(pseudo.get_content())
    return found is not None and (found[1] or found[2]).upper() in NORM_CONSERVING


def orbitals_of(pseudo: UpfData) -> set[str]:
    """Return the atomic orbitals in a UPF file, as ``3d``."""
    content = pseudo.get_content()
    labels = {label for text in CHI.findall(content) for label in re.findall(r'label\s*=\s*"\s*(\w+)\s*"', text)}
    old = OLD_CHI.search(content)
    if old is not None:
        labels |= {line.split()[0] for line in old[1].splitlines() if line.strip()}
    return {label.lower() for label in labels}
