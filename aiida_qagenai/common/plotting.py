"""What all pictures share: colours, figures without a display, and files that are never half written."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ('BLUE', 'FORMATS', 'GREY', 'RED', 'new_figure', 'picture_path', 'save_figure')

FORMATS = ('.png', '.svg', '.pdf')
BLUE, RED, GREY = '#4477aa', '#cc3311', '#777777'


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


def new_figure(width: float, height: float, *shape: int, **options: t.Any) -> tuple[Figure, t.Any]:
    """Return a figure of a size in inches and its axes.

    :param shape: rows and columns, one axes by default; ``options`` are those of ``Figure.subplots``.
    """
    # no pyplot: it would open a window system and keep every figure alive
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout='constrained')
    return figure, figure.subplots(*shape, **options)


def save_figure(figure: Figure, path: Path, **options: t.Any) -> Path:
    """Write a figure to ``path`` and return the path."""
    partial = path.with_name(f'.partial-{path.name}')
    figure.savefig(partial, dpi=150, **options)
    partial.replace(path)
    return path
