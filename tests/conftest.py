"""Fixtures that more than one folder of tests takes."""

import pytest

from stream.resources import models_folder
from stream.scoring import store
from stream.scoring.manifest import load_manifest
from tests.support.reference import ReferenceOpenNsfw, ReferenceScore


@pytest.fixture(scope="session")
def reference_open_nsfw() -> ReferenceScore:
    """The reference implementation of open_nsfw: RGB `uint8 [H, W, 3]` of any size to its score.

    A test that needs it fails where the model was not pulled (`framewarden models pull open_nsfw`).
    """
    manifest = load_manifest(models_folder() / "open_nsfw")
    return ReferenceOpenNsfw(store.original_path(manifest, store.cache_folder()))
