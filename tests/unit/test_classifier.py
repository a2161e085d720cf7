"""Views in, scores by label out: the right columns, the right batches, and nothing that is not a score."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stream.config import Scoring
from stream.errors import ConfigError, ModelGraphMismatch, ModelNotPulled
from stream.frames import ViewArray
from stream.resources import models_folder
from stream.scoring.classifier import Classifier, batch_sizes, jpeg_round_trip, load_classifiers
from stream.scoring.pictures import golden_picture
from tests.support.models import SIZE_PX, FakeSession, toy_manifest

SHAPE = (SIZE_PX[1], SIZE_PX[0], 3)


def colour(red: int, green: int) -> ViewArray:
    return np.full(SHAPE, (red, green, 0), np.uint8)


def make(session: FakeSession, max_batch_size: int = 8) -> Classifier:
    return Classifier(toy_manifest(), session, max_batch_size=max_batch_size)


def test_it_says_what_it_is() -> None:
    classifier = make(FakeSession("cpu", "no driver"))

    assert classifier.name == "toy"
    assert classifier.version == toy_manifest().full_version
    assert classifier.view.shape == SHAPE
    assert classifier.labels == ("high",)
    assert classifier.provider == "cpu"
    assert classifier.fallback_reason == "no driver"


def test_each_view_gets_the_score_of_the_reported_class() -> None:
    scores = make(FakeSession()).score([colour(255, 0), colour(0, 255), colour(0, 51)])

    assert scores == [{"high": 0.0}, {"high": 1.0}, {"high": pytest.approx(0.2)}]


def test_no_views_give_no_scores() -> None:
    session = FakeSession()

    assert make(session).score([]) == []
    assert session.batches == []


@pytest.mark.parametrize(
    ("provider", "largest", "sizes"),
    [
        ("cpu", 8, (1, 2, 4)),
        ("cpu", 3, (1, 2, 3)),
        ("cpu", 1, (1,)),
        ("cuda", 8, (1, 2, 4, 8)),
        ("cuda", 24, (1, 2, 4, 8, 16, 24)),
        ("cuda", 1, (1,)),
    ],
)
def test_batch_sizes_are_powers_of_two_up_to_the_largest(
    provider: str, largest: int, sizes: tuple[int, ...]
) -> None:
    assert batch_sizes(provider, largest) == sizes  # type: ignore[arg-type]


def test_a_cpu_takes_fours_and_never_pads() -> None:
    session = FakeSession("cpu")
    make(session).score([colour(0, 0)] * 11)

    assert session.batches == [4, 4, 3]


def test_a_gpu_is_only_given_sizes_that_it_was_warmed_with() -> None:
    session = FakeSession("cuda")
    classifier = make(session, max_batch_size=6)
    classifier.warm()
    warmed = set(session.batches)

    for count in range(1, 20):
        assert len(classifier.score([colour(0, 255)] * count)) == count
    assert warmed == {1, 2, 4, 6}
    assert set(session.batches) == warmed


def test_padding_does_not_reach_the_scores() -> None:
    scores = make(FakeSession("cuda")).score([colour(0, 255)] * 3)

    assert scores == [{"high": 1.0}] * 3


@pytest.mark.parametrize(
    "view", [np.zeros((3, 3, 3), np.uint8), np.zeros(SHAPE, np.float32), np.zeros(SHAPE[:2], np.uint8)]
)
def test_another_view_is_refused(view: ViewArray) -> None:
    with pytest.raises(ValueError, match=r"expected a view uint8 \(2, 4, 3\)"):
        make(FakeSession()).score([view])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([[0.5, np.nan]], "expected scores from 0 to 1"),
        ([[0.5, np.inf]], "expected scores from 0 to 1"),
        ([[-4.0, 7.0]], "activation"),
        ([[0.5]], "shape"),
        ([[0.5, 0.5], [0.5, 0.5]], None),
    ],
)
def test_what_is_not_a_score_never_passes_for_one(answer: list[list[float]], message: str | None) -> None:
    session = FakeSession()
    session.answer = np.array(answer, np.float32)
    if message is None:
        assert make(session).score([colour(0, 0)] * 2) == [{"high": 0.5}] * 2
        return
    with pytest.raises(ModelGraphMismatch, match=message):
        make(session).score([colour(0, 0)])


def test_rounding_beyond_one_is_cut_off() -> None:
    session = FakeSession()
    session.answer = np.array([[-1e-7, 1 + 1e-6]], np.float32)

    assert make(session).score([colour(0, 0)]) == [{"high": 1.0}]


def test_scores_do_not_mix_between_threads() -> None:
    classifier = make(FakeSession())

    def score(green: int) -> bool:
        return classifier.score([colour(0, green)] * 5) == [{"high": pytest.approx(green / 255)}] * 5

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(score, range(256)))


@pytest.mark.parametrize("quality", [40, 75, 95])
@pytest.mark.parametrize("kind", ["gradient", "ellipses", "noise"])
@pytest.mark.parametrize("size", [(224, 224), (225, 223)])
def test_the_jpeg_round_trip_is_pillows_to_the_bit(quality: int, kind: str, size: tuple[int, int]) -> None:
    for seed in range(8):
        view = golden_picture(f"{kind}-{seed}", *size)
        encoded = BytesIO()
        Image.fromarray(view).save(encoded, format="JPEG", quality=quality)
        np.testing.assert_array_equal(jpeg_round_trip(view, quality), np.asarray(Image.open(encoded)))


def test_the_round_trip_takes_a_view_that_is_a_crop() -> None:
    whole = golden_picture("ellipses-1", 256, 256)
    crop = whole[16:240, 16:240]

    np.testing.assert_array_equal(jpeg_round_trip(crop, 75), jpeg_round_trip(crop.copy(), 75))


def test_loading_names_the_model_that_is_not_pulled(tmp_path: Path) -> None:
    with pytest.raises(ModelNotPulled, match="framewarden models pull open_nsfw"):
        load_classifiers(["open_nsfw"], Scoring(gpu="off"), models=models_folder(), cache=tmp_path)


def test_loading_an_unknown_model_offers_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'open_nsfw'"):
        load_classifiers(["open-nsfw"], Scoring(gpu="off"), cache=tmp_path)
