"""Jobs whose worker was killed between the upload and the saving of their state."""

from __future__ import annotations

import pytest
from aiida.calculations.arithmetic.add import ArithmeticAddCalculation
from aiida.engine import run_get_node
from aiida.engine.daemon import execmanager
from aiida.orm import InstalledCode, Int, RemoteData

from aiida_qagenai.engine.recovery import RecoveryMixin


class Add(RecoveryMixin, ArithmeticAddCalculation):
    """The sum of two numbers by bash."""


@pytest.mark.parametrize('handed_over', ['nothing', 'calc_info'])
def test_folder_of_an_earlier_upload_is_an_output(localhost, monkeypatch, handed_over):
    """The process ends well, with the folder, whatever AiiDA says of an upload that it skips."""
    upload = execmanager.upload_calculation

    async def uploaded_before(node, transport, calc_info, *args, **kwargs):
        await upload(node, transport, calc_info, *args, **kwargs)
        return calc_info if handed_over == 'calc_info' else None

    monkeypatch.setattr(execmanager, 'upload_calculation', uploaded_before)
    code = InstalledCode(label='add', computer=localhost, filepath_executable='/bin/bash').store()
    outputs, node = run_get_node(Add, code=code, x=Int(1), y=Int(2))
    assert node.is_finished_ok, node.exit_message
    assert outputs['sum'].value == 3
    assert isinstance(outputs['remote_folder'], RemoteData)
