"""`aiida-qagenai setup`: this machine, examined and prepared."""

from aiida_qagenai.cli.setup.commands import setup
from aiida_qagenai.cli.setup.local import ML_CODE, PYSCF_CODE

__all__ = ('ML_CODE', 'PYSCF_CODE', 'setup')
