"""Jobs whose worker was killed after the upload of their files: the remote folder is found again.

Upstream: `CalcJob` should register the remote folder before it notes that the upload is done.
"""

from __future__ import annotations

import typing as t

from aiida.orm import CalcJobNode, RemoteData

from aiida_qagenai.engine.exclusive import ExclusiveMixin
from aiida_qagenai.engine.links import LinksMixin
from aiida_qagenai.engine.polling import PollingMixin

__all__ = ('RecoveryMixin',)

REMOTE_FOLDER = 'remote_folder'


class RecoveryMixin(PollingMixin, LinksMixin, ExclusiveMixin):
    """Mixin, before ``CalcJob``: the folder that a killed worker had uploaded to is an output of the job as well.

    AiiDA notes first that the files were uploaded, and stores the remote folder with the next state of the process. A
    process that was killed between the two does not upload again, but knows of no remote folder either: it would end
    with the exit status 11, a required output missing, although the job has succeeded.
    """

    node: CalcJobNode
    outputs: t.Any

    def out(self, output_port: str, value: t.Any = None) -> None:
        """Register an output; where AiiDA 2.9 hands over something else than the folder, it is one made before."""
        if output_port == REMOTE_FOLDER and not isinstance(value, RemoteData):
            value = self.uploaded_folder()
        super().out(output_port, value)  # type: ignore[misc]

    def parse(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        """Parse the retrieved files, once the remote folder is registered."""
        if REMOTE_FOLDER not in self.outputs:
            self.out(REMOTE_FOLDER, self.uploaded_folder())
        return super().parse(*args, **kwargs)  # type: ignore[misc]

    def uploaded_folder(self) -> RemoteData:
        """Return the remote folder that is linked to the record of the process, or that the record names."""
        link = self.node.base.links.get_outgoing(RemoteData, link_label_filter=REMOTE_FOLDER).first()
        if link is not None:
            return t.cast('RemoteData', link.node)
        return RemoteData(computer=self.node.computer, remote_path=self.node.get_remote_workdir())
