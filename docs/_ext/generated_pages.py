"""Pages of the reference that are made from the code, so that nothing is copied by hand.

Before Sphinx reads its sources, ``reference/processes`` gets a page per process (ports, exit codes, handlers of restart
work chains) and ``reference/api`` a page per room of the package.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import typing as t
from importlib.metadata import entry_points
from pathlib import Path

from aiida.engine import BaseRestartWorkChain, CalcJob, Process
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

# The rooms that a user may call from Python; the commands and the protocols have pages of their own.
ROOMS = (
    'api',
    'common',
    'chemistry',
    'thermodynamics',
    'selection',
    'evaluation',
    'motifs',
    'exchange',
    'ml',
    'data',
    'engine',
    'queries',
    'databases',
    'calculations',
    'workchains.protocols',
)
GROUPS = ('aiida.workflows', 'aiida.calculations')


def processes() -> dict[type[Process], str]:
    """Return the processes of this package with the names of their entry points, work chains first."""
    return {
        point.load(): point.name
        for group in GROUPS
        for point in sorted(entry_points(group=group), key=lambda point: point.name)
        if point.name.startswith('qagenai.')
    }


def handlers(process: type[Process]) -> list[t.Any]:
    """Return the handlers of a restart work chain, in the order in which they are called."""
    if not issubclass(process, BaseRestartWorkChain):
        return []
    return sorted(process.get_process_handlers(), key=lambda handler: -handler.priority)


def handled_statuses(handler: t.Any) -> list[int]:
    """Return the exit statuses that a handler is called for; none if it looks at every ended process.

    The decorator of AiiDA keeps them in its closure only.
    """
    codes = inspect.getclosurevars(handler._self_wrapper).nonlocals['exit_codes']
    return sorted({code.status for code in codes or ()})


def process_page(process: type[Process], name: str, others: t.Iterable[type[Process]]) -> str:
    """Return the page of one process in Markdown."""
    directive = 'aiida-calcjob' if issubclass(process, CalcJob) else 'aiida-workchain'
    parts = [
        f'# {process.__name__}',
        f'Entry point `{name}`.',
        f'```{{eval-rst}}\n.. {directive}:: {process.__name__}\n   :module: {process.__module__}\n'
        '   :expand-namespaces:\n   :hide-nondb-inputs:\n```',
        '## Exit codes',
        exit_codes_table(process, others),
    ]
    if found := handlers(process):
        parts += [
            '(handlers-of-' + process.__name__.lower() + ')=\n## Handlers',
            'Handlers are called for a calculation that has ended, the highest priority first. The first that reports '
            'an action ends the search. `handler_overrides` switches a handler off or changes its priority.',
            handlers_table(found),
        ]
    return '\n\n'.join(parts) + '\n'


def exit_codes_table(process: type[Process], others: t.Iterable[type[Process]]) -> str:
    """Return the exit codes of a process, and which handler of which restart work chain acts on each."""
    rows = []
    for label, code in sorted(process.spec().exit_codes.items(), key=lambda item: item[1].status):
        acting = [
            f'[`{handler.__name__}`](#handlers-of-{parent.__name__.lower()})'
            for parent in others
            if issubclass(parent, BaseRestartWorkChain) and parent._process_class is process
            for handler in handlers(parent)
            if code.status in handled_statuses(handler)
        ]
        rows.append((str(code.status), f'`{label}`', cell(code.message), ', '.join(acting)))
    head = ('status', 'label', 'message', 'handled by')
    if not any(row[3] for row in rows):
        head, rows = head[:3], [row[:3] for row in rows]
    return table(head, rows)


def handlers_table(found: list[t.Any]) -> str:
    """Return what each handler is called for and what it does."""
    rows = [
        (
            f'`{handler.__name__}`',
            str(handler.priority),
            ', '.join(map(str, handled_statuses(handler))) or 'any',
            cell((inspect.getdoc(handler) or '').split('\n\n')[0]),
        )
        for handler in found
    ]
    return table(('handler', 'priority', 'exit status', 'action'), rows)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ('---',) * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def cell(text: str) -> str:
    """Return ``text`` for a cell: on one line, with nothing that Markdown would read."""
    return ' '.join(text.split()).replace('|', '\\|').replace('<', '\\<').replace('{', '`{').replace('}', '}`')


def api_page(room: str, documented: str) -> str:
    """Return the page of one room: every module that no page of the reference, in ``documented``, describes."""
    package = importlib.import_module(f'aiida_qagenai.{room}')
    parts = [f'# `{room}`', (inspect.getdoc(package) or '').split('\n\n')[0]]
    for module in pkgutil.walk_packages(package.__path__, f'{package.__name__}.'):
        if module.name.endswith('__main__') or not is_described(module):
            continue
        if f'{module.name}.' not in documented and f'automodule:: {module.name}\n' not in documented:
            # All settings, nested ones too, are documented by their names, types and defaults.
            options = '   :undoc-members:\n   :ignore-module-all:\n' if room == 'workchains.protocols' else ''
            parts.append(f'```{{eval-rst}}\n.. automodule:: {module.name}\n{options}```')
    return '\n\n'.join(parts) + '\n'


def is_described(module: pkgutil.ModuleInfo) -> bool:
    """Return whether a module has more than a docstring: an empty package has nothing to show."""
    source = Path(t.cast('str', importlib.import_module(module.name).__file__)).read_text()
    return not module.ispkg or len(source.splitlines()) > 1


def write_pages(app: Sphinx) -> None:
    """Write all pages, and remove those of what is gone."""
    reference = Path(app.srcdir) / 'reference'
    documented = '\n'.join(path.read_text() for path in reference.glob('*.md'))
    found = processes()
    pages = {
        **{f'processes/{process.__name__}.md': process_page(process, name, found) for process, name in found.items()},
        **{f'api/{room}.md': api_page(room, documented) for room in ROOMS},
    }
    for folder in ('processes', 'api'):
        (reference / folder).mkdir(exist_ok=True)
        for old in (reference / folder).glob('*.md'):
            if f'{folder}/{old.name}' not in pages:
                old.unlink()
    for name, text in pages.items():
        path = reference / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def resolve_short_name(app: Sphinx, env: t.Any, node: t.Any, contnode: t.Any) -> t.Any:
    """Resolve a name without its module, such as the error after ``:raises``, where only one object has it."""
    name = node.get('reftarget', '')
    if node.get('refdomain') != 'py' or '.' in name:
        return None
    domain = env.domains.python_domain
    found = [full for full in domain.objects if full.rpartition('.')[2] == name and full.startswith('aiida_qagenai.')]
    if len(found) != 1:
        return None
    entry = domain.objects[found[0]]
    return make_refnode(app.builder, node['refdoc'], entry.docname, entry.node_id, contnode, found[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect('builder-inited', write_pages)
    app.connect('missing-reference', resolve_short_name)
    return {'parallel_read_safe': True}
