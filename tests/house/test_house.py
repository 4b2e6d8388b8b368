"""The drawn house shows the imports as they are."""

from draw_house import PICTURE, is_current


def test_picture_is_current() -> None:
    assert is_current(PICTURE), "the imports have changed; run python tests/house/draw_house.py"
