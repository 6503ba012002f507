"""Datasets on the practice leaderboard: made, versioned, unpacked and listed by the official client."""

from pathlib import Path

import pytest
import requests
from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

from common.kaggle.client import practice_client
from common.kaggle.practice import calls
from common.kaggle.practice.server import running
from tests.practice_world import dataset_folder, practice_competition, quick_settings, until


@pytest.fixture
def practice(tmp_path: Path):
    return practice_competition(tmp_path, takes="notebook")


@pytest.fixture
def url(practice, tmp_path):
    with running([practice], tmp_path / "state", quick_settings()) as url:
        yield url


@pytest.fixture
def api(url):
    return practice_client(url).api


def about_dataset(api, slug: str, owner: str = "practice"):
    request = ApiGetDatasetRequest()
    request.owner_slug, request.dataset_slug = owner, slug
    with api.build_kaggle_client() as kaggle:
        return kaggle.datasets.dataset_api_client.get_dataset(request)


def test_a_dataset_is_made_versioned_listed_and_its_archives_are_unpacked(api, tmp_path):
    folder = dataset_folder(tmp_path / "dataset")
    made = api.dataset_create_new(str(folder), quiet=True)
    assert (made.status, made.error, made.ref) == ("ok", "", "/practice/my-weights")
    until(lambda: api.dataset_status("practice/my-weights") == "ready")
    first = api.dataset_list_files("practice/my-weights", page_size=1)
    rest = api.dataset_list_files("practice/my-weights", page_token=first.next_page_token)
    sizes = {file.name: file.total_bytes for file in first.files + rest.files}
    assert (sizes, rest.next_page_token) == ({"package.json": 2, "runs/fold-0/weights.bin": 1000}, "")
    (folder / "runs.zip").unlink()
    assert api.dataset_create_version(str(folder), "without runs", quiet=True).status == "ok"
    until(lambda: api.dataset_status("practice/my-weights") == "ready")
    about = about_dataset(api, "my-weights")
    assert (about.current_version_number, about.is_private, about.license_name) == (2, True, "CC0-1.0")
    assert [(v.version_number, v.version_notes) for v in about.versions] == [
        (2, "without runs"),
        (1, "Initial release"),
    ]
    assert [file.name for file in api.dataset_list_files("practice/my-weights").files] == ["package.json"]
    assert len(api.dataset_list_files("practice/my-weights/1").files) == 2


def test_a_dataset_is_not_ready_at_once_and_a_broken_archive_never(practice, tmp_path):
    broken = dataset_folder(tmp_path / "broken", "broken-one")
    (broken / "runs.zip").write_bytes(b"PK\x03\x04 and no more")
    with running([practice], tmp_path / "state", quick_settings(dataset_seconds=0.5)) as url:
        api = practice_client(url).api
        api.dataset_create_new(str(dataset_folder(tmp_path / "dataset")), quiet=True)
        assert api.dataset_status("practice/my-weights") == "not_yet_persisted"
        until(lambda: api.dataset_status("practice/my-weights") == "ready")
        api.dataset_create_new(str(broken), quiet=True)
        until(lambda: api.dataset_status("practice/broken-one") == "failed")
        assert about_dataset(api, "broken-one").current_version_number == 0


def test_a_title_that_is_taken_and_metadata_that_do_not_do_are_answered_as_on_kaggle(api, url, tmp_path):
    folder = dataset_folder(tmp_path / "dataset")
    api.dataset_create_new(str(folder), quiet=True)
    again = api.dataset_create_new(str(folder), quiet=True)
    assert again.status == "error"
    assert again.error.startswith('The requested title "My weights" is already in use by a dataset.')
    good = {"slug": "long-enough", "title": "My weights", "licenseName": "CC0-1.0"}
    wrong = [({"slug": "Short"}, "slug"), ({"title": "My"}, "title"), ({"licenseName": ""}, "license"), ({}, "file")]
    for change, said in wrong:
        answer = requests.post(f"{url}/v1/datasets.DatasetApiService/CreateDataset", json=good | change).json()
        assert answer["status"] == "error"
        assert said in answer["error"]


def test_a_dataset_that_is_not_there_is_not_found_and_a_strangers_is_denied(api):
    for ref, status in (("practice/nowhere", 404), ("somebody/nowhere", 403)):
        for call in (api.dataset_status, api.dataset_list_files, lambda ref: about_dataset(api, *ref.split("/")[::-1])):
            with pytest.raises(requests.HTTPError) as refused:
                call(ref)
            assert refused.value.response.status_code == status


def test_an_upload_address_that_has_expired_or_is_made_up_answers_404(url, monkeypatch):
    monkeypatch.setattr(calls, "WEEK", -1)
    announced = {"type": "DATASET", "name": "a.bin", "contentLength": 3}
    started = requests.post(f"{url}/v1/blobs.BlobApiService/StartBlobUpload", json=announced).json()
    expired = requests.put(started["createUrl"], data=b"abc")
    assert (expired.status_code, "expired" in expired.text) == (404, True)
    assert requests.put(started["createUrl"].replace("expires=", "expires=9"), data=b"abc").status_code == 404
