"""Golden pictures: a name gives the same bytes on every machine."""

import hashlib

import numpy as np
import pytest

from stream.frames import ViewSpec
from stream.scoring.golden import golden_view
from stream.scoring.pictures import golden_picture


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("gradient-60", "4277cfb755137e9e"),
        ("ellipses-226", "6ab9aab21dfb011b"),
        ("noise-0", "17adc8743bde760c"),
    ],
)
def test_a_name_gives_the_same_bytes_everywhere(name: str, digest: str) -> None:
    assert hashlib.sha256(golden_picture(name, 256, 256).tobytes()).hexdigest()[:16] == digest


def test_a_picture_has_the_size_that_was_asked_for() -> None:
    assert golden_picture("ellipses-1", 30, 20).shape == (20, 30, 3)
    assert golden_picture("noise-1", 30, 20).dtype == np.uint8


@pytest.mark.parametrize("name", ["ellipses", "ellipses-", "stars-1", "noise--1", ""])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no golden picture"):
        golden_picture(name, 8, 8)


def test_the_view_of_a_picture_is_its_centre() -> None:
    view = golden_view("noise-3", ViewSpec(12, 10, 8, 4))

    np.testing.assert_array_equal(view, golden_picture("noise-3", 12, 10)[3:7, 2:10])
