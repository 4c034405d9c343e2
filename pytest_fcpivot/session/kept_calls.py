"""Keep the answers whose tests have not run yet in files, so that a process that dies loses none."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fcpivot.calls.call import CallLog
from pytest_fcpivot.runs.call_log import CallFile, Crashes
from pytest_fcpivot.session.worker_plan import is_worker, received_plan

if TYPE_CHECKING:
    import pytest

    from pytest_fcpivot.core.redact import Redactor
    from pytest_fcpivot.runs.recorder import Recorder


class KeptCalls:
    """The files of answers, one for each process; `directory` is None if answers are not kept."""

    def __init__(self, config: pytest.Config, recorder: Recorder, redact: Redactor) -> None:
        self._config = config
        self._recorder = recorder
        self._temporary: Path | None = None
        self.directory = self._find()
        worker = is_worker(config)
        self.log: CallLog = CallLog()
        if self.directory is not None:
            self.log = CallFile(self.directory, self._process_name(), redact, begins=worker)
        self.crashes = Crashes(self.directory) if worker and self.directory is not None else None

    def find_again(self) -> None:
        """Choose the directory again, in case the run directory cannot be written."""
        self.directory = self._find()

    def _find(self) -> Path | None:
        received = received_plan(self._config)
        if received is not None:
            return Path(received.calls) if received.calls else None
        if self._recorder.path is None and self._config.getoption("dist", "no") != "no":
            # nothing is recorded, but the answers of a worker that dies are still needed in this session
            if self._temporary is None:
                directory = tempfile.TemporaryDirectory(prefix="fcpivot-")
                self._config.add_cleanup(directory.cleanup)
                self._temporary = Path(directory.name)
            return self._temporary
        return self._recorder.calls

    def _process_name(self) -> str:
        worker = getattr(self._config, "workerinput", {}).get("workerid", "main")
        return f"{worker}-{os.getpid()}"

    def close(self) -> None:
        """Close the file of this process."""
        if isinstance(self.log, CallFile):
            self.log.close()
