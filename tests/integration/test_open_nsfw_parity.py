"""open_nsfw as it runs here against its reference implementation: the same picture, the same score."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import msgspec
import numpy as np
import pytest
from PIL import Image

from stream.config import Scoring
from stream.frames import ViewArray
from stream.resources import models_folder
from stream.scoring import golden, store
from stream.scoring.classifier import Classifier, load_classifiers
from stream.scoring.manifest import load_manifest
from stream.scoring.pictures import golden_picture
from tests.support.picture import frame_picture
from tests.support.reference import ReferenceOpenNsfw, ReferenceScore

TOLERANCE = 1e-4

SIZES_PX = [(640, 360), (256, 256), (224, 224), (100, 300), (1000, 31)]
HIGH = (226, 409, 342, 116, 63, 478, 53, 339, 490, 321)
"""Seeds of ellipses that score 0.3 to 0.7 at 256x256, of the first 500."""
GENERATED = [
    *(golden_picture(f"gradient-{seed}", *SIZES_PX[seed % 5]) for seed in range(10)),
    *(golden_picture(f"noise-{seed}", *SIZES_PX[seed % 5]) for seed in range(10)),
    *(golden_picture(f"ellipses-{seed}", *SIZES_PX[seed % 5]) for seed in range(10)),
    *(golden_picture(f"ellipses-{seed}", 256, 256) for seed in HIGH),
    *(frame_picture(number, 640, 360) for number in range(10)),
]
"""Fifty pictures of several sizes and shapes."""


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    (loaded,) = load_classifiers(["open_nsfw"], Scoring(gpu="off"))
    return loaded


def view_of(picture: ViewArray) -> ViewArray:
    """Returns the view that Pillow makes: the resize is not what is compared here."""
    resized = Image.fromarray(picture).resize((256, 256), Image.Resampling.BILINEAR)
    return np.asarray(resized)[16:240, 16:240]


def test_fifty_pictures_score_as_in_the_reference(
    classifier: Classifier, reference_open_nsfw: ReferenceScore
) -> None:
    seen = [scores["nsfw"] for scores in classifier.score([view_of(picture) for picture in GENERATED])]
    expected = [reference_open_nsfw(picture) for picture in GENERATED]

    assert len(seen) == 50
    assert max(expected) - min(expected) > 0.7, "the pictures must not all score alike"
    np.testing.assert_allclose(seen, expected, rtol=0, atol=TOLERANCE)


def test_the_golden_scores_are_the_references(reference_open_nsfw: ReferenceScore) -> None:
    manifest = load_manifest(models_folder() / "open_nsfw")
    for each in manifest.golden.pictures:
        picture = golden_picture(each.picture, *manifest.input.view.resize_px)
        assert reference_open_nsfw(picture) == pytest.approx(each.scores["nsfw"], abs=2e-6)


def test_the_golden_scores_are_met_here() -> None:
    checks = golden.verify(load_manifest(models_folder() / "open_nsfw"), store.cache_folder())

    assert [check.picture for check in checks if not check.passed] == []
    assert max(check.expected for check in checks) > 0.5 > min(check.expected for check in checks)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_a_score_does_not_depend_on_its_batch(classifier: Classifier, size: int) -> None:
    views = [view_of(picture) for picture in GENERATED[:7]]
    alone = [classifier.score([view])[0]["nsfw"] for view in views[:size]]
    together = [scores["nsfw"] for scores in classifier.score(views[:size])]

    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


def test_threads_that_share_the_session_get_their_own_scores(classifier: Classifier) -> None:
    views = [view_of(picture) for picture in GENERATED[24:40]]
    expected = [classifier.score([view])[0]["nsfw"] for view in views]

    with ThreadPoolExecutor(2) as threads:
        seen = [scores["nsfw"] for scores in threads.map(lambda view: classifier.score([view])[0], views)]
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-6)


def test_a_picture_file_scores_as_its_pixels(reference_open_nsfw: ReferenceOpenNsfw) -> None:
    encoded = BytesIO()
    Image.fromarray(GENERATED[20]).save(encoded, format="PNG")

    assert reference_open_nsfw.reference_score(encoded.getvalue()) == reference_open_nsfw(GENERATED[20])


@pytest.mark.parametrize("change", ["no JPEG step", "RGB for BGR", "a crop that is off by a pixel"])
def test_the_comparison_notices_another_preprocessing(
    classifier: Classifier, reference_open_nsfw: ReferenceScore, change: str
) -> None:
    pictures = GENERATED[20:40]
    views = [view_of(picture) for picture in pictures]
    if change == "no JPEG step":
        manifest = load_manifest(models_folder() / "open_nsfw")
        without = msgspec.structs.replace(manifest.input, jpeg_quality=None)
        classifier = Classifier(
            msgspec.structs.replace(manifest, input=without), classifier._session, max_batch_size=4
        )
    elif change == "RGB for BGR":
        views = [np.ascontiguousarray(view[..., ::-1]) for view in views]
    else:
        views = [np.roll(view, 1, axis=1) for view in views]
    seen = np.array([scores["nsfw"] for scores in classifier.score(views)])
    expected = np.array([reference_open_nsfw(picture) for picture in pictures])

    assert np.abs(seen - expected).max() > 10 * TOLERANCE
