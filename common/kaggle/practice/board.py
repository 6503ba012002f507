"""The rules of the practice leaderboard, in the official client's own request and response classes."""

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from kagglesdk.competitions.types import competition_api_service as api
from kagglesdk.competitions.types.submission_status import SubmissionStatus

from common.errors import UserError, listing
from common.kaggle.practice import blobs
from common.kaggle.practice.competition import PracticeCompetition
from common.kaggle.practice.refused import Refused
from common.kaggle.practice.settings import OWNER
from common.kaggle.practice.store import Store, Submission, Upload

DAY_LIMIT = 5
LARGEST_UPLOAD = 100 * 1024**2
NOTEBOOKS_ONLY = "Submission not allowed: this competition only accepts submissions from notebooks"


class Board:
    """One method a call of the protocol. All raise `Refused`."""

    def __init__(self, competitions: Sequence[PracticeCompetition], state: Path) -> None:
        self.competitions = {practice.slug: practice for practice in competitions}
        self.store = Store(state)

    def competition(self, slug: str) -> PracticeCompetition:
        if slug not in self.competitions:
            raise Refused(404, f"no competition '{slug}' here; there are {listing(sorted(self.competitions))}")
        return self.competitions[slug]

    def start_upload(self, request: api.ApiStartSubmissionUploadRequest) -> Upload:
        practice = self.competition(request.competition_name)
        if practice.competition.takes == "notebook":
            raise Refused(400, NOTEBOOKS_ONLY)
        size = request.content_length
        return blobs.start(self.store, practice.slug, request.file_name, size, LARGEST_UPLOAD, "a submission")

    def create(self, request: api.ApiCreateSubmissionRequest) -> Submission:
        """Take the uploaded file as a submission; `score` is to follow. The same upload is the same submission."""
        slug = self.competition(request.competition_name).slug
        upload = self.store.upload(request.blob_file_tokens)
        if upload is None or upload.slug != slug:
            raise Refused(400, "there is no such upload for this competition")
        if upload.received != upload.size:
            raise Refused(400, f"the upload is not complete: {upload.received:,} of {upload.size:,} bytes")
        if taken := self.store.submission_of(upload.token):
            return taken
        return self.take(upload, request.submission_description)

    def take(self, upload: Upload, description: str) -> Submission:
        """A PENDING submission of what is uploaded, or will be."""
        submission = self.store.add_submission(upload, description, DAY_LIMIT)
        if submission is None:
            spent = f"today's {DAY_LIMIT} submissions to '{upload.slug}' are spent: try again after midnight UTC"
            raise Refused(400, spent)
        return submission

    def score(self, submission: Submission) -> None:
        """PENDING to COMPLETE, or to ERROR with the reason. Never raises: a bad file must not stop the server."""
        try:
            practice = self.competition(submission.slug)
            scores = practice.scores(self.store.upload(submission.token).path)
            self.store.finish(submission.ref, "COMPLETE", scores=scores)
        except (UserError, Refused) as error:
            what = "" if submission.size else "Submission Scoring Error: "
            self.store.finish(submission.ref, "ERROR", what + self._in_their_words(str(error), submission))
        except Exception:
            logging.getLogger(__name__).exception("practice: submission %d could not be scored", submission.ref)
            self.store.finish(submission.ref, "ERROR", "the practice server could not score it; its log says why")

    def score_pending(self) -> None:
        """What was taken, by an earlier server too, and is not scored. A notebook's file may be still to come."""
        for submission in self.store.pending():
            if submission.slug in self.competitions and self.store.upload(submission.token).path.exists():
                self.score(submission)

    def submissions(self, request: api.ApiListSubmissionsRequest) -> api.ApiListSubmissionsResponse:
        size = request.page_size or 20
        slug, start = self.competition(request.competition_name).slug, (max(request.page, 1) - 1) * size
        response = api.ApiListSubmissionsResponse()
        response.submissions = [_as_listed(submission) for submission in self.store.submissions(slug, start, size)]
        return response

    def submission(self, request: api.ApiGetSubmissionRequest) -> api.ApiSubmission:
        submission = self.store.submission(request.ref)
        if submission is None:
            raise Refused(404, f"no submission {request.ref} here")
        return _as_listed(submission)

    def limits(self, request: api.ApiGetSubmissionLimitsRequest) -> api.ApiSubmissionLimits:
        today, total = self.store.counts(self.competition(request.competition_name).slug)
        response = api.ApiSubmissionLimits()
        response.num_today, response.num_total = today, total
        response.num_allowed_now = max(0, DAY_LIMIT - today)
        return response

    def _in_their_words(self, reason: str, submission: Submission) -> str:
        """The reason, with the name of the file as its owner knows it."""
        return reason.replace(self.store.upload(submission.token).path.name, submission.file_name)


def _as_listed(submission: Submission) -> api.ApiSubmission:
    listed = api.ApiSubmission()
    listed.ref, listed.total_bytes, listed.file_name = submission.ref, submission.size, submission.file_name
    listed.date = datetime.fromisoformat(submission.created)
    listed.description, listed.error_description = submission.description, submission.error
    listed.status = SubmissionStatus[submission.status]
    if submission.status == "COMPLETE":
        listed.public_score, listed.private_score = f"{submission.public_score:.5f}", f"{submission.private_score:.5f}"
    listed.submitted_by = listed.team_name = OWNER
    return listed
