"""Pictures of hulls and of what screening leaves (paper Figures 2 and 11)."""

from __future__ import annotations

import itertools
import os
import typing as t
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from aiida_qagenai.chemistry.elements import require_elements
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.plotting import BLUE, new_figure, picture_path, save_figure
from aiida_qagenai.thermodynamics.hull.convex_hull import MARGINAL_LIMIT, METASTABLE_LIMIT
from aiida_qagenai.thermodynamics.hull.phases import Phase

__all__ = ('plot_distances', 'plot_funnel', 'plot_hull')

INTERACTIVE = '.html'
FORMATS = ('.png', '.svg', '.pdf', INTERACTIVE)

DISTANCE_LABEL = 'distance to the hull (eV/atom)'


def plot_hull(
    phases: Sequence[Phase],
    path: str | os.PathLike[str],
    *,
    candidates: Sequence[Phase] = (),
    elements: Collection[str] | None = None,
    elements_at_zero: bool = False,
    show_unstable: float = 0.2,
) -> Path:
    """Write the hull of a binary, ternary or quaternary system by pymatgen's plotter.

    :param phases: known phases.
    :param path: ``.png``, ``.svg``, ``.pdf``, or ``.html`` for an interactive picture.
    :param candidates: drawn with the phases and named ``formula (candidate)``.
    :param elements: the chemical system; phases with others are left out. The default is that of the
        candidates, or of the phases if there are no candidates.
    :param elements_at_zero: whether pure elements are implied at 0 eV/atom.
    :param show_unstable: largest distance to the hull of the phases shown above it, eV/atom.
    :raises InvalidInputError: on another number of elements, an unknown format, or missing elements.
    """
    path = picture_path(path, elements or phases or candidates, FORMATS)
    occurring = {element for phase in candidates or phases for element in phase.amounts}
    elements = sorted(occurring if elements is None else require_elements(elements))
    phases, candidates = ([p for p in listed if set(p.amounts) <= set(elements)] for listed in (phases, candidates))
    if not 2 <= len(elements) <= 4:
        message = f'a hull diagram needs two to four elements, not {", ".join(elements)}: choose the system to draw'
        raise InvalidInputError(message)
    known = [*phases, *(Phase(element, 0.0) for element in elements)] if elements_at_zero else list(phases)
    missing = [element for element in elements if not any(set(phase.amounts) == {element} for phase in known)]
    if missing:
        raise InvalidInputError(f'no phase of the element(s) {", ".join(missing)}: the hull has no corner there')
    from pymatgen.analysis.phase_diagram import PDEntry, PDPlotter, PhaseDiagram
    from pymatgen.core import Composition

    def entry(phase: Phase, name: str | None) -> t.Any:
        return PDEntry(Composition(phase.amounts), phase.energy_per_atom * sum(phase.amounts.values()), name=name)

    entries = [entry(phase, None) for phase in known]
    entries += [entry(phase, f'{phase.reduced_formula} (candidate)') for phase in candidates]
    backend: t.Literal['plotly', 'matplotlib'] = 'plotly' if path.suffix.lower() == INTERACTIVE else 'matplotlib'
    plotter = PDPlotter(PhaseDiagram(entries), show_unstable=show_unstable, backend=backend)
    picture = plotter.get_plot()
    if backend == 'plotly':
        return _write_page(picture, path)
    return save_figure(picture.figure, path, bbox_inches='tight')


def plot_distances(distances: Sequence[float], path: str | os.PathLike[str]) -> Path:
    """Write a histogram of distances to the hull (eV/atom) with the boundaries of Table 2.

    :param path: ``.png``, ``.svg``, ``.pdf``, or ``.html`` for an interactive picture.
    :raises InvalidInputError: if there is no distance or the format is unknown.
    """
    path = picture_path(path, distances, FORMATS)
    bins, limits = min(60, max(10, len(distances) // 10)), {'metastable': METASTABLE_LIMIT, 'marginal': MARGINAL_LIMIT}
    if path.suffix.lower() == INTERACTIVE:
        import plotly.graph_objects as go

        page = go.Figure(go.Histogram(x=list(distances), nbinsx=bins, marker_color=BLUE))
        for name, limit in limits.items():
            page.add_vline(x=limit, line_dash='dash', annotation_text=name)
        page.update_layout(xaxis_title=DISTANCE_LABEL, yaxis_title='candidates')
        return _write_page(page, path)
    figure, axes = new_figure(5.0, 3.2)
    axes.hist(distances, bins=bins, color=BLUE)
    for name, limit in limits.items():
        axes.axvline(limit, color='#555555', linewidth=0.8, linestyle='--')
        axes.annotate(name, (limit, 0.98), xycoords=('data', 'axes fraction'), rotation=90, ha='right', va='top')
    axes.set_xlabel(DISTANCE_LABEL)
    axes.set_ylabel('candidates')
    return save_figure(figure, path, bbox_inches='tight')


def plot_funnel(counts: Mapping[str, int], path: str | os.PathLike[str]) -> Path:
    """Write how many candidates are left after each stage (paper Figure 2), with the counts.

    :param counts: stage → number left, in order.
    :param path: ``.png``, ``.svg``, ``.pdf``, or ``.html`` for an interactive picture.
    :raises InvalidInputError: if a stage has more than the one before, there is none, or the format is unknown.
    """
    path = picture_path(path, counts, FORMATS)
    numbers = list(counts.values())
    rising = any(after > before for before, after in itertools.pairwise(numbers))
    if min(numbers) < 0 or rising:
        raise InvalidInputError(f'the counts of a funnel never rise, these do: {dict(counts)}')
    if path.suffix.lower() == INTERACTIVE:
        import plotly.graph_objects as go

        return _write_page(go.Figure(go.Funnel(y=list(counts), x=numbers, textinfo='value', marker_color=BLUE)), path)
    figure, axes = new_figure(5.5, 0.6 + 0.5 * len(numbers))
    positions = list(range(len(numbers)))[::-1]
    largest = max(numbers[0], 1)
    axes.barh(positions, numbers, left=[(largest - n) / 2 for n in numbers], color=BLUE, height=0.7)
    for position, number in zip(positions, numbers, strict=True):
        axes.annotate(f'{number:,}', (1.02, position), xycoords=('axes fraction', 'data'), va='center')
    axes.set_yticks(positions, list(counts))
    axes.set_xticks([])
    axes.set_xlim(0, largest)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return save_figure(figure, path, bbox_inches='tight')


def _write_page(page: t.Any, path: Path) -> Path:
    page.write_html(str(path), include_plotlyjs=True)
    return path
