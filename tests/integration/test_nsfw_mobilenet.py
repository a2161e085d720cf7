"""nsfw_mobilenet as it is pulled here, against the scores that nsfwjs gave."""

import pytest

from stream.config import Scoring
from stream.resources import models_folder
from stream.scoring import golden, store
from stream.scoring.classifier import Classifier, load_classifiers
from stream.scoring.golden import GoldenCheck, golden_view
from stream.scoring.manifest import load_manifest

MANIFEST = load_manifest(models_folder() / "nsfw_mobilenet")
pytestmark = pytest.mark.skipif(
    not store.is_pulled(MANIFEST, store.cache_folder()),
    reason="it takes npm, which not everybody has: framewarden models pull nsfw_mobilenet",
)

LABELS = ("drawing", "hentai", "neutral", "porn", "sexy")
"""In the order of `NSFW_CLASSES` in nsfwjs."""


@pytest.fixture(scope="module")
def checks() -> list[GoldenCheck]:
    return golden.verify(MANIFEST, store.cache_folder())


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    (loaded,) = load_classifiers(["nsfw_mobilenet"], Scoring(gpu="off"))
    return loaded


def test_the_scores_of_nsfwjs_are_met(checks: list[GoldenCheck]) -> None:
    assert [(check.picture, check.label, check.seen) for check in checks if not check.passed] == []


def test_the_conversion_is_nearer_than_the_tolerance_asks(checks: list[GoldenCheck]) -> None:
    assert max(abs(check.seen - check.expected) for check in checks) < 5e-6


@pytest.mark.parametrize("label", LABELS)
def test_every_label_is_held_to_scores_that_differ(checks: list[GoldenCheck], label: str) -> None:
    expected = [check.expected for check in checks if check.label == label]

    assert len(expected) == 8
    assert max(expected) - min(expected) > 0.015


def test_the_five_scores_sum_to_one(classifier: Classifier) -> None:
    (scores,) = classifier.score([golden_view("ellipses-1", classifier.view)])

    assert tuple(scores) == LABELS
    assert sum(scores.values()) == pytest.approx(1.0, abs=1e-6)


def test_a_score_does_not_depend_on_its_batch(classifier: Classifier) -> None:
    views = [golden_view(f"ellipses-{seed}", classifier.view) for seed in range(4)]
    alone = [classifier.score([view])[0] for view in views]

    assert classifier.score(views) == [pytest.approx(scores, abs=1e-6) for scores in alone]
