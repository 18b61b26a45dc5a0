"""`aiida-qagenai dataset`: data from elsewhere, merged, and built into training sets."""

from __future__ import annotations

from aiida_qagenai.cli.dataset import sets, sources
from aiida_qagenai.cli.groups import Noun

__all__ = ('dataset',)

dataset = Noun(
    'dataset',
    help='Import and merge data, build training sets.',
    commands=[
        *(sources.import_, sources.install, sources.list_, sources.materials_project, sources.optimade),
        *(sets.build, sets.export, sets.merge, sets.suspicious, sets.table, sets.why),
    ],
)
