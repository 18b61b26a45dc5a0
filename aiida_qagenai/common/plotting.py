"""What all pictures share: one style, figures without a display, labels that find room, and files that are whole."""

from __future__ import annotations

import functools
import io
import itertools
import os
import re
import typing as t
from collections.abc import Callable, Sequence
from pathlib import Path

from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = (
    'BLUE',
    'COLOURS',
    'FORMATS',
    'GREY',
    'LABEL_SIZE',
    'MANY_POINTS',
    'RED',
    'add_heading',
    'figure_svg',
    'label_points',
    'new_figure',
    'picture_path',
    'save_figure',
    'styled',
    'write_text',
)

FORMATS = ('.png', '.svg', '.pdf')
BLUE, RED, GREY = '#4477aa', '#cc3311', '#777777'
COLOURS = (BLUE, '#ee7733', '#228833', '#aa3377', '#66ccee', '#bbaa00', '#332288', RED)
"""Colours of several series, which people with any kind of colour vision can tell apart (P. Tol)."""

STYLE: t.Any = {
    'font.family': 'sans-serif',
    'font.sans-serif': ['DejaVu Sans', 'Verdana', 'Arial'],
    'font.size': 9.0,
    'axes.titlesize': 10.0,
    'axes.labelsize': 9.0,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'legend.frameon': False,
    'legend.fontsize': 8.5,
    'lines.linewidth': 1.4,
    'lines.markersize': 5.0,
}

LABEL_SIZE = 7.5
"""Of the names of points, pt."""

MANY_POINTS = 1000
"""More points than this are drawn as an image inside a vector picture, which stays small."""

R = t.TypeVar('R')
P = t.ParamSpec('P')


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Return the function with the style of the package in force while it draws."""

    @functools.wraps(draw)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib as mpl

        with mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return run


def picture_path(path: str | os.PathLike[str], content: t.Sized, formats: tuple[str, ...] = FORMATS) -> Path:
    """Return the path of a picture of ``content``.

    :raises InvalidInputError: if the format is unknown or there is nothing to draw.
    """
    path = Path(path)
    if path.suffix.lower() not in formats:
        raise InvalidInputError(f'cannot write `{path}`: choose a name that ends in {", ".join(formats)}')
    if not len(content):
        raise InvalidInputError(f'there is nothing to draw in `{path}`')
    return path


@styled
def new_figure(width: float, height: float, *shape: int, **options: t.Any) -> tuple[Figure, t.Any]:
    """Return a figure of a size in inches and its axes.

    :param shape: rows and columns, one axes by default; ``options`` are those of ``Figure.subplots``.
    """
    # no pyplot: it would open a window system and keep every figure alive
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout='constrained')
    return figure, figure.subplots(*shape, **options)


@styled
def add_heading(figure: Figure, text: str) -> None:
    """Write a warning above a figure, which grows by the place that it takes: nothing in it moves."""
    figure.set_figheight(figure.get_figheight() + 0.24)
    figure.suptitle(text, fontsize=LABEL_SIZE, color=RED)


@styled
def save_figure(figure: Figure, path: Path, **options: t.Any) -> Path:
    """Write a figure to ``path`` and return the path."""
    partial = path.with_name(f'.partial-{path.name}')
    try:
        figure.savefig(partial, dpi=150, **options)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def write_text(text: str, path: Path) -> Path:
    """Write a text to ``path``, which never holds a part of it, and return the path.

    :raises InvalidInputError: if the path cannot be written.
    """
    partial = path.with_name(f'.partial-{path.name}')
    try:
        partial.write_text(text, encoding='utf8')
        partial.replace(path)
    except OSError as exception:
        raise InvalidInputError(f'`{path}` cannot be written: {exception.strerror}') from exception
    finally:
        partial.unlink(missing_ok=True)
    return path


@styled
def figure_svg(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element for an HTML page, with its texts as texts.

    :param name: begins the identifiers within the element, which would clash with those of other figures otherwise.
    """
    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': name}):
        figure.savefig(stream, format='svg', dpi=110, metadata={'Date': None, 'Creator': None})
    text = stream.getvalue()
    text = re.sub(r'<metadata>.*?</metadata>', '', text[text.index('<svg') :], flags=re.DOTALL)
    text = re.sub(r'(?<= id=")(?=[^"])|(?<=url\(#)|(?<=href="#)', f'{name}-', text)
    tag, rest = text.split('>', 1)
    return re.sub(r' (?:width|height|xmlns:xlink)="[^"]*"', '', tag) + '>' + rest.replace('xlink:href', 'href').strip()


@styled
def label_points(
    figure: Figure, axes: t.Any, points: Sequence[tuple[float, float]], texts: Sequence[str], *, most: int = 12
) -> int:
    """Write names beside points where they lie within the axes and cover neither a name nor a point.

    What finds no place is left out: the first points have the first choice.

    :param points: in the coordinates of the data, shape (n, 2).
    :param most: names written at most.
    :returns: the number of names that found a place.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    scale = figure.dpi / 72
    frame = axes.get_window_extent(renderer)
    legend = axes.get_legend()
    taken = [] if legend is None else [legend.get_window_extent(renderer)]
    centres = axes.transData.transform(list(points)) if points else []
    taken += [Bbox.from_bounds(x - 3 * scale, y - 3 * scale, 6 * scale, 6 * scale) for x, y in centres[:MANY_POINTS]]
    written = 0
    for point, text in zip(points, texts, strict=True):
        if written == most:
            break
        for right, up in itertools.product((1, -1, 0), (1, -1, 0)):
            if right == up == 0:
                continue
            label = axes.annotate(
                text,
                point,
                fontsize=LABEL_SIZE,
                xytext=(5 * right, 5 * up),
                textcoords='offset points',
                ha={1: 'left', -1: 'right', 0: 'center'}[right],
                va={1: 'bottom', -1: 'top', 0: 'center'}[up],
                annotation_clip=True,
            )
            box = label.get_window_extent(renderer).padded(2 * scale)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                written += 1
                break
            label.remove()
    return written
