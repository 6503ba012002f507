"""Runs the queued sessions one after another, for as long as the server lives."""

import logging
import shutil
import threading
import time

from kagglesdk.kernels.types.kernels_api_service import ApiSaveKernelRequest

from common.kaggle.practice import data
from common.kaggle.practice.board import LARGEST_UPLOAD
from common.kaggle.practice.claim import claimed
from common.kaggle.practice.kernel_store import Session
from common.kaggle.practice.kernels import Kernels
from common.kaggle.practice.sandbox import Outcome, Sandbox
from common.kaggle.practice.settings import Settings

LONGEST_SESSION = 9 * 3600
LOOK_AGAIN = 0.2
"""Seconds; what this server is asked for it sees at once, what was asked of another after so long."""


class Runner:
    """A thread; `stop` ends it and the session that is running, which the next server runs again from the start."""

    def __init__(self, kernels: Kernels, settings: Settings) -> None:
        self.kernels, self.board, self.settings = kernels, kernels.board, settings
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._work, name="practice-sessions", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self.kernels.queued.set()
        self.thread.join()

    def _work(self) -> None:
        while not self.stopping.is_set():
            self.kernels.queued.clear()
            if not any(self._take(session) for session in self.kernels.store.unfinished()):
                self.kernels.queued.wait(LOOK_AGAIN)

    def _take(self, session: Session) -> bool:
        """Run a session that is due, whose competitions are served here, and that no other server runs."""
        sources = self.kernels.version_of(session).request.get("competitionDataSources", [])
        due = time.time() >= session.created + self.settings.queue_seconds
        if not due or not self.board.competitions.keys() >= set(sources) or self.stopping.is_set():
            return False
        with claimed(session.lock) as ours:
            if not ours or session.id not in {left.id for left in self.kernels.store.unfinished()}:
                return False
            self._settle(session)
            return True

    def _settle(self, session: Session) -> None:
        """QUEUED to RUNNING to COMPLETE or ERROR; a submission's output is handed in. Never raises."""
        self.kernels.store.set_status(session, "RUNNING")
        try:
            outcome = self._run(session)
        except Exception as error:
            logging.getLogger(__name__).exception("practice: session %d could not be run", session.id)
            outcome = Outcome("Notebook Threw Exception", f"the practice server could not run it: {error}")
        if outcome is None:
            return
        if session.ref is not None:
            self._hand_in(session, outcome)
        self.kernels.store.set_status(session, "ERROR" if outcome.failure else "COMPLETE", str(outcome) or None)
        if session.ref is not None:
            self.board.score_pending()
            shutil.rmtree(session.folder, ignore_errors=True)  # what it saw is nobody's to see

    def _run(self, session: Session) -> Outcome | None:
        version = self.kernels.version_of(session)
        pushed = ApiSaveKernelRequest.from_dict(version.request)
        rerun = session.ref is not None
        inputs = {}
        for slug in pushed.competition_data_sources:
            practice = self.board.competition(slug)
            inputs[slug] = data.files(practice, practice.hidden if rerun else None)
        for name, number in version.datasets.items():
            slug = name.split("/")[1]
            inputs[slug] = self.kernels.datasets.files(slug, number)
        sandbox = Sandbox(session.folder, self.settings.limits)
        sandbox.fill(pushed.text, pushed.kernel_type, inputs)
        seconds = min(pushed.session_timeout_seconds or LONGEST_SESSION, LONGEST_SESSION)
        outcome = sandbox.run(self.settings.session_command, version.internet, rerun, seconds, self.stopping)
        sandbox.tidy()
        return outcome

    def _hand_in(self, session: Session, outcome: Outcome) -> None:
        """The rerun's file becomes what was uploaded for the submission."""
        submission = self.board.store.submission(session.ref)
        written = session.working / submission.file_name
        if outcome.failure:
            self.board.store.finish(session.ref, "ERROR", outcome.failure)
        elif not written.is_file() or written.is_symlink():
            self.board.store.finish(session.ref, "ERROR", f"Submission File Not Found: {submission.file_name}")
        elif written.stat().st_size > LARGEST_UPLOAD:
            error = f"Submission Scoring Error: {submission.file_name} has more than {LARGEST_UPLOAD:,} bytes"
            self.board.store.finish(session.ref, "ERROR", error)
        else:
            target = self.board.store.upload(submission.token).path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(written, target)
