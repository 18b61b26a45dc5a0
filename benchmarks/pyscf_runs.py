"""What the benchmarks of quantum chemistry share: crystals, bases, and calculations that are kept in a folder."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.calculations.pyscf.script import script_variables, write_script
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.exchange.basis import find_source, read_bases
from aiida_qagenai.workchains.protocols.energy import energy_settings

Structure = tuple[list[list[float]], list[tuple[str, list[float]]]]
"""Lattice vectors as rows and the sites (Å); a molecule has no lattice vectors."""


Sites = t.Sequence[tuple[str, t.Sequence[float]]]


def face_centred(lattice: float, symbols: t.Sequence[str], kind: str = 'rock salt') -> Structure:
    """Return the primitive cell of rock salt or zinc blende, which with one element is diamond.

    :param lattice: edge of the cubic cell, Å.
    """
    half = lattice / 2
    fraction = {'rock salt': 0.5, 'zinc blende': 0.25}[kind]
    cell = [[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]
    return cell, [(symbols[0], [0.0, 0.0, 0.0]), (symbols[-1], [fraction * lattice] * 3)]


@functools.cache
def family_basis(folder: Path, name: str) -> dict[str, str]:
    """Return the texts of a basis of the family ccgto by element, its files checked."""
    return {basis.element: basis.text for basis in read_bases(find_source('ccgto'), folder)[name]}


def basis_texts(folder: Path, name: str, symbols: t.Iterable[str]) -> dict[str, t.Any]:
    """Return a basis of the family ccgto as parameters of a calculation."""
    texts = family_basis(folder, name)
    return {symbol: {'format': 'nwchem', 'text': texts[symbol]} for symbol in sorted(set(symbols))}


def level_parameters(
    structure: Structure,
    fidelity: Fidelity,
    method: str | None,
    basis: dict[str, t.Any],
    grid_spacing: float | None = None,
) -> dict[str, t.Any]:
    """Return the parameters of `fast` in another basis, of a crystal or, without a cell, of an atom.

    :param grid_spacing: of the uniform grid, Å; that of `fast` by default.
    """
    changes = {
        'basis': 'given',
        'coupled_cluster_basis': None,
        **({'grid_spacing': grid_spacing} if grid_spacing else {}),
    }
    settings = energy_settings('fast').model_copy(update=changes)
    cell = structure[0]
    values = settings.crystal_parameters(fidelity, cell) if cell else settings.atom_parameters(fidelity, 0)
    return {**values, 'method': method, 'basis': basis}


def on_mesh(values: dict[str, t.Any], number: int) -> dict[str, t.Any]:
    """Return the parameters of a crystal on the Γ-centred mesh of ``number``³ points."""
    mesh: dict[str, t.Any] = {'kmesh': [number] * 3, 'kmesh_shift': [0.0, 0.0, 0.0]}
    is_correlated = values['fidelity'] == Fidelity.CCSD_T
    return {**values, **mesh, **({'cc': {**values['cc'], **mesh}} if is_correlated else {})}


def kept(cache: Path | None, key: str, compute: t.Callable[[], dict[str, t.Any]]) -> dict[str, t.Any]:
    """Return what a folder keeps under the hash of a key, or compute and keep it.

    :param cache: the folder; without, nothing is kept.
    """
    if cache is None:
        return compute()
    stored = cache / f'{hashlib.sha256(key.encode()).hexdigest()[:24]}.json'
    if not stored.exists():
        results = compute()
        stored.parent.mkdir(parents=True, exist_ok=True)
        partial = stored.with_suffix(f'.{os.getpid()}.partial')
        partial.write_text(json.dumps(results, indent=1), encoding='utf-8')
        partial.replace(stored)
    return t.cast('dict[str, t.Any]', json.loads(stored.read_text(encoding='utf-8')))


@dataclasses.dataclass(frozen=True)
class Runner:
    """Runs scripts of PySCF, one at a time.

    :param python: interpreter with PySCF.
    :param cache: folder of finished calculations; what has the same inputs and PySCF is not run again.
    """

    python: str
    cache: Path | None = None

    @functools.cached_property
    def version(self) -> str:
        """Version of PySCF."""
        command = [self.python, '-c', 'import pyscf; print(pyscf.__version__)']
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def __call__(
        self, parameters: dict[str, t.Any], structure: Structure, label: str = '', ghosts: Sites = ()
    ) -> dict[str, t.Any]:
        """Return the results of a calculation.

        :param label: for the progress on the standard error; nothing is said without.
        :param ghosts: sites with basis functions only, around a molecule or atom.
        :raises SystemExit: if the calculation fails, with its message.
        """
        checked, cell, sites = PyscfCellParameters.parse(parameters), *structure

        def compute() -> dict[str, t.Any]:
            if label:
                print(f'{label} …', file=sys.stderr, flush=True)
            results = self._run(write_script(checked, cell, sites, ghosts=ghosts), label)
            if label:
                cost = f'{results["cpu_seconds"]:.0f} CPU s, {results["memory_mb"]:.0f} MB'
                print(f'{label}: {results["total_energy_hartree"]:.6f} Ha, {cost}', file=sys.stderr, flush=True)
            return results

        if self.cache is None:
            return compute()
        # As in AiiDA's cache, a change of the script counts only if it says so.
        inputs = script_variables(checked, cell, sites, ghosts=ghosts)['inputs_literal']
        return kept(self.cache, f'{self.version}\n{PyscfCellCalculation.CACHE_VERSION}\n{inputs}', compute)

    def _run(self, text: str, label: str) -> dict[str, t.Any]:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / 'script.py').write_text(text, encoding='utf-8')
            # PySCF keeps its integrals there.
            done = subprocess.run(
                [self.python, 'script.py'],
                check=False,
                cwd=folder,
                capture_output=True,
                text=True,
                env={**os.environ, 'PYSCF_TMPDIR': folder},
            )
            results = Path(folder) / 'results.json'
            values = json.loads(results.read_text(encoding='utf-8')) if results.exists() else {'message': done.stderr}
        if done.returncode:
            raise SystemExit(f'{label or "calculation"} failed: {values["message"]}')
        return t.cast('dict[str, t.Any]', values)
