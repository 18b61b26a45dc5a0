"""`aiida-qagenai energy`: energies of crystals at several levels of theory."""

from aiida_qagenai.cli.energy.commands import energy

__all__ = ('energy',)
