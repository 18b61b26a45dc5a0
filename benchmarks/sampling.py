"""The task `generate` of the package, run here, for the benchmarks that ask for samples of the diffusion model."""

from __future__ import annotations

import contextlib
import io
import tempfile
import typing as t
from collections.abc import Sequence
from pathlib import Path

from pymatgen.core import Structure

from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
from aiida_qagenai.exchange.tasks import GenerateConfig
from aiida_qagenai.ml.generator.generate import generate
from aiida_qagenai.ml.progress import Record
from aiida_qagenai.ml.runtime import setup


class Sample(t.NamedTuple):
    """A crystal that was sampled.

    :param start: row of the structure that it started from, -1 if none.
    """

    structure: Structure
    start: int


def sampled(requests: Sequence[dict[str, t.Any]], *, seed: int = 0, generator: Path | None = None) -> list[Sample]:
    """Return what the task makes of some requests; what fails is not there.

    :param generator: folder of a checkpoint; the shipped one by default.
    :raises InvalidInputError: if a request cannot be met.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / 'candidates.npz'
        values = {'requests': requests, 'relations': False, 'seed': seed, 'generator': generator, 'output': output}
        config = GenerateConfig.model_validate(values)
        # its lines of progress are not figures
        with contextlib.redirect_stdout(io.StringIO()):
            generate(config, setup(config), Record())
        starts = load_arrays(output)['start'].tolist()
        return [Sample(*each) for each in zip(StructureBatch.load(output).structures(), starts, strict=True)]
