"""Jobs whose worker was killed after the upload of their files: the folder that was made is found again."""

from __future__ import annotations

import typing as t

from aiida.orm import CalcJobNode, RemoteData

__all__ = ('RecoveryMixin',)

REMOTE_FOLDER = 'remote_folder'


class RecoveryMixin:
    """Mixin, before ``CalcJob``: what a killed worker stored of a job is an output of it as well.

    AiiDA stores the remote folder first and saves the process later. A process that was loaded from a state between the
    two does not upload again, but knows of no remote folder either: it would end with the exit status 11, a required
    output missing, although the job has succeeded.
    """

    node: CalcJobNode
    outputs: t.Any

    def out(self, output_port: str, value: t.Any = None) -> None:
        """Register an output; where AiiDA 2.9 hands over something else than the folder, it is one made before."""
        if output_port == REMOTE_FOLDER and not isinstance(value, RemoteData):
            value = self.stored_folder()
        super().out(output_port, value)  # type: ignore[misc]

    def parse(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        """Parse the retrieved files, once the remote folder is registered."""
        folder = self.stored_folder()
        if folder is not None and REMOTE_FOLDER not in self.outputs:
            self.out(REMOTE_FOLDER, folder)
        return super().parse(*args, **kwargs)  # type: ignore[misc]

    def stored_folder(self) -> RemoteData | None:
        """Return the remote folder that is linked to the record of the process."""
        link = self.node.base.links.get_outgoing(RemoteData, link_label_filter=REMOTE_FOLDER).first()
        return None if link is None else link.node
