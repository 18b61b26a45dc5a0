"""`aiida-qagenai dataset`: one file per group of commands."""

from __future__ import annotations

from aiida_qagenai.cli.lazy import LazyGroup

GROUP = LazyGroup(
    'dataset',
    help='Import and merge data, build training sets.',
    commands_at={
        'build': 'aiida_qagenai.cli.dataset.view:build',
        'export': 'aiida_qagenai.cli.dataset.merge:export',
        'import': 'aiida_qagenai.cli.dataset.files:import_',
        'list': 'aiida_qagenai.cli.dataset.files:list_',
        'materials-project': 'aiida_qagenai.cli.dataset.download:materials_project',
        'merge': 'aiida_qagenai.cli.dataset.merge:merge',
        'optimade': 'aiida_qagenai.cli.dataset.download:optimade',
        'table': 'aiida_qagenai.cli.dataset.view:table',
        'why': 'aiida_qagenai.cli.dataset.merge:why',
    },
)
