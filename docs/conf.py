"""Configuration of Sphinx."""

import os
import tempfile

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
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.mathjax',
    'sphinx.ext.viewcode',
    'sphinx_click',
]
myst_enable_extensions = ['colon_fence', 'deflist', 'dollarmath']
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = 'aiida-qagenai'
autodoc_member_order = 'bysource'
autodoc_typehints = 'none'
autodoc_default_options = {'members': True, 'show-inheritance': False}
nitpicky = False
