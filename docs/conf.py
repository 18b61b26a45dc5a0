"""Configuration of Sphinx."""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / '_ext'))

# Autodoc imports the plugins, and AiiDA wants a configuration folder: never the user's own.
os.environ['AIIDA_PATH'] = tempfile.mkdtemp()

from aiida import load_profile
from aiida.storage.sqlite_temp import SqliteTempBackend

from aiida_qagenai import __version__

load_profile(SqliteTempBackend.create_profile('docs'), allow_switch=True)

project = 'aiida-qagenai'
author = 'The aiida-qagenai developers'
copyright = '2026, The aiida-qagenai developers'  # noqa: A001
release = version = __version__

extensions = [
    'aiida.sphinxext',
    'generated_pages',
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.mathjax',
    'sphinx_click',
]
myst_enable_extensions = ['colon_fence', 'deflist', 'dollarmath']
# Headings can be the target of a link from another page.
myst_heading_anchors = 3
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = 'aiida-qagenai'
autodoc_member_order = 'bysource'
autodoc_typehints = 'none'
autodoc_default_options = {
    'members': True,
    'show-inheritance': False,
    'exclude-members': 'model_config, model_post_init, ReadModel, WriteModel',
}

# A reference to something of this package must resolve. Those to other projects resolve only with their inventories,
# which come from the network: Read the Docs and the CI on GitHub have it, `make docs` must also work without it.
nitpicky = True
nitpick_ignore_regex = [
    ('py:.*', rf'({package})\..*')
    for package in (
        'abc',
        'aiida',
        'aiida_pyscf',
        'ase',
        'click',
        'collections',
        'enum',
        'numpy',
        'optimade',
        'pandas',
        'pydantic',
        'pymatgen',
        'torch',
    )
]
# Private base classes are not documented.
nitpick_ignore_regex.append(('py:.*', r'aiida_qagenai\..*\._\w+'))
if os.environ.keys() & {'READTHEDOCS', 'QAGENAI_DOCS_INTERSPHINX'}:
    # The pages of the source are most pages and most of the time of a build, and no link in the text leads to them.
    extensions += ['sphinx.ext.intersphinx', 'sphinx.ext.viewcode']
    intersphinx_mapping = {
        'aiida': ('https://aiida.readthedocs.io/projects/aiida-core/en/stable', None),
        'ase': ('https://ase-lib.org', None),
        'click': ('https://click.palletsprojects.com/en/stable', None),
        'numpy': ('https://numpy.org/doc/stable', None),
        'pandas': ('https://pandas.pydata.org/docs', None),
        'pymatgen': ('https://pymatgen.org', None),
        'python': ('https://docs.python.org/3', None),
    }
