"""Structure checks of files in a background thread: a table may be judged on the assumption that they
pass."""

import threading
from collections import deque
from concurrent.futures import Future

from importer.read.csv.structure import Structure, check_structure
from importer.read.source_file import SourceFile


class StructureChecks:
    """Checks each file once, one after another, in a daemon thread."""

    def __init__(self) -> None:
        self._known: dict[SourceFile, Future[Structure]] = {}
        self._waiting: deque[SourceFile] = deque()
        self._lock = threading.Lock()
        self._at_work = False

    def of(self, file: SourceFile) -> Future[Structure]:
        """The check of a file; starts it unless it was started before. The future raises what reading
        raises."""
        with self._lock:
            if file not in self._known:
                self._known[file] = Future()
                self._waiting.append(file)
                if not self._at_work:
                    self._at_work = True
                    threading.Thread(target=self._work, name="structure checks", daemon=True).start()
            return self._known[file]

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._at_work = False
                    return
                file = self._waiting.popleft()
                future = self._known[file]
            try:
                with file.plain_bytes() as stream:
                    structure = check_structure(stream, file.dialect.delimiter, len(file.header))
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(structure)
