"""Pictures of hulls and of what screening leaves (paper Figures 2 and 11)."""

from __future__ import annotations

import itertools
import math
import os
import typing as t
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from aiida_qagenai.chemistry.elements import require_elements
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.plotting import (
    BLUE,
    LABEL_SIZE,
    MANY_POINTS,
    RED,
    label_points,
    new_figure,
    picture_path,
    save_figure,
    styled,
)
from aiida_qagenai.thermodynamics.hull.convex_hull import (
    MARGINAL_LIMIT,
    METASTABLE_LIMIT,
    STABLE_LIMIT,
    distances_to_hull,
)
from aiida_qagenai.thermodynamics.hull.phases import Phase

if t.TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ('draw_distances', 'draw_funnel', 'draw_hull', 'plot_distances', 'plot_funnel', 'plot_hull')

INTERACTIVE = '.html'
FORMATS = ('.png', '.svg', '.pdf', INTERACTIVE)

DISTANCE_LABEL = 'distance to the hull (eV/atom)'
FORMATION_LABEL = 'formation energy (eV/atom)'


def plot_hull(
    phases: Sequence[Phase],
    path: str | os.PathLike[str],
    *,
    candidates: Sequence[Phase] = (),
    elements: Collection[str] | None = None,
    elements_at_zero: bool = False,
    show_unstable: float = 0.2,
) -> Path:
    """Write the hull of a binary, ternary or quaternary system.

    :param phases: known phases.
    :param path: ``.png``, ``.svg``, ``.pdf``, or ``.html`` for an interactive picture by pymatgen.
    :param candidates: drawn with the phases.
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
    level = next((phase.level for phase in (*phases, *candidates)), None)
    zeros = [Phase(element, 0.0, level=level) for element in elements] if elements_at_zero else []
    known = [*phases, *zeros]
    missing = [element for element in elements if not any(set(phase.amounts) == {element} for phase in known)]
    if missing:
        raise InvalidInputError(f'no phase of the element(s) {", ".join(missing)}: the hull has no corner there')
    if path.suffix.lower() != INTERACTIVE:
        return save_figure(draw_hull(known, candidates, elements, show_unstable=show_unstable), path)
    from pymatgen.analysis.phase_diagram import PDEntry, PDPlotter, PhaseDiagram
    from pymatgen.core import Composition

    def entry(phase: Phase, name: str | None) -> t.Any:
        return PDEntry(Composition(phase.amounts), phase.energy_per_atom * sum(phase.amounts.values()), name=name)

    entries = [entry(phase, None) for phase in known]
    entries += [entry(phase, f'{phase.reduced_formula} (candidate)') for phase in candidates]
    plotter = PDPlotter(PhaseDiagram(entries), show_unstable=show_unstable, backend='plotly')
    return _write_page(plotter.get_plot(), path)


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
    return save_figure(draw_distances(distances, bins), path)


@styled
def draw_distances(distances: Sequence[float], bins: int = 40) -> Figure:
    """Return a histogram of distances to the hull (eV/atom) with the boundaries of Table 2.

    :param bins: number of intervals of equal width.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(4.6, 3.4)
    axes.hist(distances, bins=bins, color=BLUE)
    for name, limit, line in (('metastable', METASTABLE_LIMIT, '--'), ('marginal', MARGINAL_LIMIT, ':')):
        axes.axvline(limit, color='#222222', linewidth=1.0, linestyle=line, label=f'{name}: up to {limit:g} eV/atom')
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc='outside lower center', ncols=2)
    axes.set(xlabel=DISTANCE_LABEL, ylabel='candidates')
    return figure


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
    return save_figure(draw_funnel(counts), path)


@styled
def draw_funnel(counts: Mapping[str, int]) -> Figure:
    """Return a picture of how many candidates are left after each stage (paper Figure 2), with the counts.

    :param counts: stage → number left, in order.
    """
    numbers = list(counts.values())
    figure, axes = new_figure(4.6, 0.5 + 0.42 * len(numbers))
    positions = list(range(len(numbers)))[::-1]
    largest = max(*numbers, 1)
    axes.barh(positions, numbers, left=[(largest - n) / 2 for n in numbers], color=BLUE, height=0.7)
    for position, number in zip(positions, numbers, strict=True):
        axes.annotate(f'{number:,}', (1.02, position), xycoords=('axes fraction', 'data'), va='center')
    axes.set_yticks(positions, list(counts))
    axes.tick_params(left=False)
    axes.set_xticks([])
    axes.set(xlim=(0, largest), xlabel='candidates (number at the right)')
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


@styled
def draw_hull(
    known: Sequence[Phase],
    candidates: Sequence[Phase],
    elements: Sequence[str],
    *,
    computed: Sequence[Phase] = (),
    names: Sequence[str] | None = None,
    distances: Sequence[float | None] | None = None,
    show_unstable: float = 0.2,
    total: int | None = None,
) -> Figure:
    """Return the hull of the known phases of two, three or four elements with candidates (paper Figure 11).

    :param known: all elements among them; they make the hull. Formation energies, eV/atom.
    :param computed: candidates whose energy was computed, drawn in another colour.
    :param names: of the candidates and then of those computed; by default their formulas.
    :param distances: of the candidates to the hull, eV/atom; by default they are computed.
    :param show_unstable: what lies further above the hull is left out of the picture, eV/atom.
    :param total: number of candidates if not all are given; the picture says how many it leaves out.
    """
    names = [phase.reduced_formula for phase in (*candidates, *computed)] if names is None else list(names)
    if distances is None:
        results = distances_to_hull([*candidates, *computed], list(known), elements_at_zero=True)
        distances = [result.e_above_hull for result in results]
    shown = [row for row, value in enumerate(distances) if value is not None and value <= show_unstable]
    split = len(candidates)
    every = [*candidates, *computed]
    draw = {2: _draw_binary, 3: _draw_ternary, 4: _draw_quaternary}[len(elements)]
    figure, axes = new_figure(4.6, 3.6)
    groups = [
        _Group('candidates, predicted', [row for row in shown if row < split], BLUE, 'o'),
        _Group('candidates, computed', [row for row in shown if row >= split], RED, 's'),
    ]
    places = draw(axes, known, every, elements, groups)
    total = len(every) if total is None else total
    left_out = total - len(shown)
    if left_out:
        note = f'{left_out:,} of {total:,} more than {show_unstable:g} eV/atom above the hull: not shown'
        axes.set_title(note, fontsize=LABEL_SIZE)
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        figure.legend(loc='outside lower center', ncols=2)
    # what was computed has the first choice, then what is nearest to the hull
    nearest = sorted(shown, key=lambda row: (row < split, t.cast(float, distances[row])))
    points = places.known + [places.candidates[row] for row in nearest]
    label_points(figure, axes, points, places.known_names + [names[row] for row in nearest], most=len(places.known) + 6)
    return figure


class _Places(t.NamedTuple):
    candidates: list[tuple[float, float]]
    known: list[tuple[float, float]]
    known_names: list[str]


class _Group(t.NamedTuple):
    name: str
    rows: list[int]
    colour: str
    marker: str


def _fractions(phase: Phase, elements: Sequence[str]) -> list[float]:
    total = sum(phase.amounts.values())
    return [phase.amounts.get(element, 0.0) / total for element in elements]


def _scatter(axes: t.Any, group: _Group, points: Sequence[tuple[float, float]], **options: t.Any) -> None:
    if group.rows:
        x, y = zip(*(points[row] for row in group.rows), strict=True)
        many = len(x) > MANY_POINTS
        size = 6 if many else 22
        options = {'alpha': 0.8, 'linewidths': 0, 'rasterized': many, 's': size, 'zorder': 3, **options}
        axes.scatter(x, y, color=group.colour, marker=group.marker, label=group.name, **options)


def _draw_binary(
    axes: t.Any, known: Sequence[Phase], every: Sequence[Phase], elements: Sequence[str], groups: Sequence[_Group]
) -> _Places:
    """Draw formation energies over the composition, and return the places of all that has a name."""
    corners = sorted((_fractions(phase, elements)[1], phase.energy_per_atom, phase.reduced_formula) for phase in known)
    hull: list[tuple[float, float, str]] = []
    for x, y, name in corners:
        if hull and x == hull[-1][0]:  # a polymorph of higher energy
            continue
        while len(hull) > 1 and _turns_up(hull[-2], hull[-1], (x, y)):
            hull.pop()
        hull.append((x, y, name))
    fractions, heights, names = zip(*hull, strict=True)
    axes.plot(fractions, heights, color='#333333', marker='D', label='hull of the known phases', zorder=2)
    points = [(_fractions(phase, elements)[1], phase.energy_per_atom) for phase in every]
    for group in groups:
        _scatter(axes, group, points)
    axes.set(xlabel=f'fraction of {elements[1]} in {elements[0]}–{elements[1]}', ylabel=FORMATION_LABEL)
    axes.set_xlim(-0.04, 1.04)
    axes.margins(y=0.12)
    return _Places(points, list(zip(fractions, heights, strict=True)), list(names))


def _turns_up(first: t.Any, middle: t.Any, last: t.Any) -> bool:
    """Return whether the middle point lies on or above the line from the first to the last."""
    run, rise = last[0] - first[0], last[1] - first[1]
    return bool(middle[1] >= first[1] + rise * (middle[0] - first[0]) / run)


def _draw_ternary(
    axes: t.Any, known: Sequence[Phase], every: Sequence[Phase], elements: Sequence[str], groups: Sequence[_Group]
) -> _Places:
    """Draw the composition triangle with the edges of the hull, and return the places of all that has a name."""
    import numpy as np
    from scipy.spatial import ConvexHull

    def place(fractions: Sequence[float]) -> tuple[float, float]:
        _, second, third = fractions
        return second + third / 2, third * math.sqrt(3) / 2

    places = np.array([place(_fractions(phase, elements)) for phase in known])
    energies = np.array([phase.energy_per_atom for phase in known])
    # One point high above closes the body: the facets that it is not part of are those of the lower hull.
    roof = [places[:, 0].mean(), places[:, 1].mean(), energies.max() + 10.0]
    body = ConvexHull(np.vstack([np.column_stack([places, energies]), roof]), qhull_options='QJ')
    edges = {
        tuple(sorted(pair))
        for facet in body.simplices
        if len(known) not in facet
        for pair in itertools.combinations(facet.tolist(), 2)
    }
    for first, second in sorted(edges):
        axes.plot(*places[[first, second]].T, color='#999999', linewidth=0.8, zorder=1)
    stable = sorted({row for pair in edges for row in pair})
    axes.plot(*places[stable].T, 'D', color='#333333', label='known phases on the hull', zorder=2)
    points = [place(_fractions(phase, elements)) for phase in every]
    for group in groups:
        _scatter(axes, group, points)
    axes.set(aspect='equal', xlim=(-0.08, 1.08), ylim=(-0.12, 0.98), xticks=[], yticks=[])
    axes.set_xlabel(f'composition in {"–".join(elements)} (fraction of the atoms)')
    for spine in axes.spines.values():
        spine.set_visible(False)
    corners = [(float(x), float(y)) for x, y in places[stable]]
    return _Places(points, corners, [known[row].reduced_formula for row in stable])


CORNERS = ((0.0, 0.12), (0.62, -0.12), (1.0, 0.24), (0.5, 0.9))
"""Places of four elements: a tetrahedron in parallel projection, its first and third corner joined behind it."""


def _draw_quaternary(
    axes: t.Any, known: Sequence[Phase], every: Sequence[Phase], elements: Sequence[str], groups: Sequence[_Group]
) -> _Places:
    """Draw the tetrahedron of compositions with the phases on the hull, and return the places of all that has a name.

    The edges of the hull are left out: in a projection nobody can tell which of them lie in front.
    """
    import numpy as np

    for first, second in itertools.combinations(range(4), 2):
        line = '--' if (first, second) == (0, 2) else '-'
        axes.plot(*np.array([CORNERS[first], CORNERS[second]]).T, line, color='#999999', linewidth=0.8, zorder=1)

    def place(phase: Phase) -> tuple[float, float]:
        x, y = np.array(_fractions(phase, elements)) @ np.array(CORNERS)
        return float(x), float(y)

    results = distances_to_hull(list(known), list(known), elements_at_zero=True)
    stable = {
        phase.reduced_formula: place(phase)
        for phase, result in zip(known, results, strict=True)
        if result.e_above_hull is not None and result.e_above_hull <= STABLE_LIMIT
    }
    axes.plot(*np.array(list(stable.values())).T, 'D', color='#333333', label='known phases on the hull', zorder=2)
    points = [place(phase) for phase in every]
    for group in groups:
        _scatter(axes, group, points)
    axes.set(aspect='equal', xlim=(-0.12, 1.12), ylim=(-0.22, 1.0), xticks=[], yticks=[])
    axes.set_xlabel(f'composition in {"–".join(elements)} (fraction of the atoms)')
    for spine in axes.spines.values():
        spine.set_visible(False)
    return _Places(points, list(stable.values()), list(stable))


def _write_page(page: t.Any, path: Path) -> Path:
    page.write_html(str(path), include_plotlyjs=True)
    return path
