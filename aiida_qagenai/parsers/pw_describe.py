"""Parser of :class:`~aiida_qagenai.calculations.espresso.describe.PwDescribeCalculation`."""

from __future__ import annotations

import json
import math
import typing as t

from aiida import orm
from aiida.engine import ExitCode
from aiida.parsers.parser import Parser

from aiida_qagenai.calculations.espresso.describe import PwDescribeCalculation
from aiida_qagenai.common.descriptors import EXTRA_FIELDS, FIELDS

__all__ = ('PwDescribeParser',)


class PwDescribeParser(Parser):
    """Read the descriptors, or why there are none."""

    def parse(self, **_: t.Any) -> ExitCode | None:
        """Attach the fields of the layout of descriptors that are known."""
        if self.node.exit_status is not None:
            return ExitCode(self.node.exit_status, self.node.exit_message)
        folder = self.retrieved.base.repository
        try:
            content = json.loads(folder.get_object_content(PwDescribeCalculation.FILENAME_RESULTS))
        except (OSError, ValueError):
            return self.exit_codes.ERROR_OUTPUT_RESULTS_MISSING.format(message=self._last_line())
        if content['status'] != 'finished':
            return self.exit_codes.ERROR_UNREADABLE.format(message=content['message'])
        known = {name: content['descriptors'].get(name) for name in (*FIELDS, *EXTRA_FIELDS)}
        values = {name: value for name, value in known.items() if value is not None and math.isfinite(value)}
        self.out('descriptors', orm.Dict(values))
        return None

    def _last_line(self) -> str:
        """Return the last line that the script wrote, which names an exception."""
        folder = self.retrieved.base.repository
        if PwDescribeCalculation.FILENAME_STDOUT not in folder.list_object_names():
            return 'it was killed'
        lines = folder.get_object_content(PwDescribeCalculation.FILENAME_STDOUT).split('\n')
        return next((line for line in reversed(lines) if line.strip()), 'it wrote nothing')
