"""Submissions of a notebook's version, which is run again on the whole test set before it is scored."""

from kagglesdk.competitions.types.competition_api_service import ApiCreateCodeSubmissionRequest

from common.kaggle.practice.kernels import Kernels
from common.kaggle.practice.refused import Refused
from common.kaggle.practice.store import Submission


def submit(kernels: Kernels, request: ApiCreateCodeSubmissionRequest) -> Submission:
    """A PENDING submission, whose session is queued. The same version twice is two submissions, as on Kaggle.

    Raises:
        Refused: the competition takes none; the version is not there, has not ended well, wrote no such file, or had
            the internet; the day's submissions are spent.
    """
    board = kernels.board
    practice = board.competition(request.competition_name)
    if practice.competition.takes != "notebook":
        raise Refused(400, "Submission not allowed: this competition does not accept submissions from notebooks")
    version = kernels.version(request.kernel_owner, request.kernel_slug, str(request.kernel_version or ""))
    name = f"version {version.number} of notebook '{version.slug}'"
    if (status := kernels.store.session(version).status) != "COMPLETE":
        raise Refused(400, f"Submission not allowed: {name} has not completed ({status.lower()})")
    file_name = request.file_name or "submission.csv"
    if file_name not in kernels.output_files(version):
        raise Refused(400, f"Submission not allowed: {name} has no output file '{file_name}'")
    if version.internet:
        raise Refused(400, f"Submission not allowed: {name} ran with internet access, which must be disabled")
    if practice.slug not in version.request.get("competitionDataSources", []):
        raise Refused(400, f"Submission not allowed: {name} does not have '{practice.slug}' among its data sources")
    description = request.submission_description or f"Notebook {version.slug} | Version {version.number}"
    submission = board.take(board.store.add_upload(practice.slug, file_name, 0), description)
    kernels.run(version, submission.ref)
    return submission
