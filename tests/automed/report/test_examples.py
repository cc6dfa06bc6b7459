"""Pictures show what they say: the right slice, the right outline, and nothing but pixels."""

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from automed.data.dataset import Dataset
from automed.problems import Shown
from automed.report import examples
from automed.sample import InputSpec, SampleSpec, TargetSpec

TRUTH, ANSWER = (ImageColor.getrgb(name) for name in (examples.TRUTH, examples.ANSWER))


def drawn(image, truth=None, answer=None, points=(None, None), **spec):
    size = image.shape[1:]
    data = Dataset(
        sample=SampleSpec(
            inputs=(InputSpec(channels=len(image), size=size, **spec),),
            targets=(TargetSpec(classes=("a", "b")),),
        ),
        inputs={"image": np.stack([np.zeros_like(image), image])},
        targets={"label": np.zeros(2, np.int64)},
    )
    true_points, found_points = points
    shown = Shown(
        row=1,
        title="Worst",
        caption="Dice 0",
        truth=truth,
        answer=answer,
        true_points=true_points,
        found_points=found_points,
    )
    (example,) = examples.draw(data, [shown])
    content = base64.b64decode(example.png)
    return example, np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def where(pixels, colour):
    """The box (top, bottom, left, right) of a colour, as shares of the picture."""
    ys, xs = np.nonzero((pixels == colour).all(axis=-1))
    height, width = pixels.shape[:2]
    return ys.min() / height, (ys.max() + 1) / height, xs.min() / width, (xs.max() + 1) / width


def test_an_image_is_windowed_and_keeps_its_shape():
    image = np.linspace(-2000, 1000, 16 * 32).reshape(1, 16, 32)
    example, pixels = drawn(image, window=(-1000.0, 0.0))
    assert pixels.shape == (120, 240, 3)
    assert (pixels[0, 0], pixels[-1, -1]) == (pytest.approx(0), pytest.approx(255))
    assert (example.title, example.caption, example.outlined) == ("Worst", "Dice 0", False)


def test_pixels_are_as_long_as_they_are_in_the_body():
    _, pixels = drawn(np.zeros((1, 16, 16)), spacing_mm=(2.0, 1.0))
    assert pixels.shape == (240, 120, 3)


@pytest.mark.parametrize("side", [24, 600])
def test_outlines_lie_around_the_truth_and_inside_the_answer(side):
    truth, answer = np.zeros((2, side, side), np.uint8)
    third = side // 3
    truth[third : 2 * third, third : 2 * third] = 1
    answer[third : 2 * third, : 2 * third] = 1
    example, pixels = drawn(np.zeros((1, side, side)), truth, answer)
    assert example.outlined
    edge = examples.EDGE / examples.SIDE
    assert where(pixels, TRUTH) == pytest.approx(
        (1 / 3 - edge, 2 / 3 + edge, 1 / 3 - edge, 2 / 3 + edge), abs=0.005
    )
    assert where(pixels, ANSWER) == pytest.approx((1 / 3, 2 / 3, 0, 2 / 3), abs=0.005)
    centre = pixels[round(0.5 * len(pixels)), round(0.5 * len(pixels))]
    assert tuple(centre) == (0, 0, 0), "an outline hides nothing inside"


def test_a_colour_image_stays_coloured():
    image = np.zeros((3, 16, 16))
    image[1] = 1.0
    assert tuple(drawn(image)[1][5, 5]) == (0, 255, 0)


def test_a_volume_shows_the_slice_with_the_largest_truth():
    image = np.arange(20.0).reshape(1, 20, 1, 1) * np.ones((1, 20, 16, 16))
    truth = np.zeros((20, 16, 16), np.uint8)
    truth[3, :2, :2] = 1
    truth[12, :4, :4] = 1
    example, pixels = drawn(image, truth, truth, window=(0.0, 20.0))
    assert example.caption == "Dice 0, slice 13 of 20"
    assert pixels[-1, -1, 0] == round(255 * 12 / 20)
    assert drawn(image)[0].caption == "Dice 0, slice 11 of 20"


def test_a_volume_is_cut_across_its_thickest_slices():
    example, pixels = drawn(np.zeros((1, 16, 16, 8)), spacing_mm=(1.0, 1.0, 5.0))
    assert example.caption.endswith("of 8")
    assert pixels.shape == (240, 240, 3)


def test_a_signal_is_a_line_with_bars_for_its_masks():
    truth, answer = np.zeros((2, 100), np.uint8)
    truth[50:], answer[:25] = 1, 1
    wave = 0.5 + 0.5 * np.sin(np.linspace(0, 6, 100))[None]
    _, pixels = drawn(wave, truth, answer)
    ink = (pixels < 100).all(axis=-1)
    assert ink.any(axis=0).all(), "the line reaches from one end to the other"
    assert where(pixels, TRUTH)[2:] == (0.5, 1.0)
    assert where(pixels, ANSWER)[2:] == (0.0, 0.25)


def test_a_table_alone_has_no_picture():
    data = Dataset(
        sample=SampleSpec(
            inputs=(InputSpec(name="table", kind="table", channels=3),),
            targets=(TargetSpec(classes=("a", "b")),),
        ),
        inputs={"table": np.zeros((2, 3))},
        targets={"label": np.zeros(2, np.int64)},
    )
    assert examples.draw(data, [Shown(row=0, title="Most wrong", caption="")]) == ()


def test_a_picture_holds_nothing_but_pixels():
    content = base64.b64decode(drawn(np.zeros((1, 16, 16)))[0].png)
    image = Image.open(io.BytesIO(content))
    image.load()
    assert not image.info


def test_circles_lie_around_the_truth_and_on_the_answer():
    points = np.array([[11.5, 5.5, 4.0]]), np.array([[11.5, 17.5, 3.0]])
    example, pixels = drawn(np.zeros((1, 24, 24)), points=points)
    assert example.outlined
    edge = examples.EDGE / examples.SIDE
    assert where(pixels, TRUTH) == pytest.approx(
        (8 / 24 - edge, 16 / 24 + edge, 2 / 24 - edge, 10 / 24 + edge), abs=0.01
    )
    assert where(pixels, ANSWER) == pytest.approx((9 / 24, 15 / 24, 15 / 24, 21 / 24), abs=0.01)
    assert tuple(pixels[120, 60]) == (0, 0, 0), "a circle hides nothing inside"


def test_spheres_are_cut_at_the_slice_of_the_largest():
    truth = np.array([[4.0, 8.0, 8.0, 3.0], [12.0, 8.0, 8.0, 5.0]])
    found = np.array([[9.0, 8.0, 8.0, 5.0]])
    example, pixels = drawn(np.zeros((1, 20, 17, 17)), points=(truth, found))
    assert example.caption == "Dice 0, slice 13 of 20"
    edge = examples.EDGE / examples.SIDE
    assert where(pixels, TRUTH)[:2] == pytest.approx((3.5 / 17 - edge, 13.5 / 17 + edge), abs=0.01)
    assert where(pixels, ANSWER)[:2] == pytest.approx((4.5 / 17, 12.5 / 17), abs=0.01)


def test_an_image_without_objects_has_no_circle():
    nothing = np.empty((0, 3))
    _, pixels = drawn(np.zeros((1, 16, 16)), points=(nothing, nothing))
    assert not pixels.any()


def panels(image, *beside, **spec):
    data = Dataset(
        sample=SampleSpec(
            inputs=(InputSpec(channels=len(image), size=image.shape[1:], **spec),),
            targets=(TargetSpec(name="target", kind="image"),),
        ),
        inputs={"image": image[None]},
        targets={"target": image[None]},
    )
    (example,) = examples.draw(data, [Shown(row=0, title="", caption="", beside=beside)])
    content = base64.b64decode(example.png)
    return example, np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize("size", [(16, 16), (16, 16, 16)], ids=["image", "volume"])
def test_images_lie_beside_the_input_in_their_order(size):
    half, full = np.full((1, *size), 0.5), np.ones((1, *size))
    example, pixels = panels(np.zeros((1, *size)), half, full)
    assert (example.panels, example.outlined) == (3, False)
    assert pixels.shape == (240, 3 * 240 + 2 * examples.EDGE, 3)
    assert [pixels[120, x, 0] for x in (100, 340, 590)] == [0, 128, 255]


def test_signals_lie_below_the_input():
    ramp = np.linspace(0, 1, 64)[None]
    example, pixels = panels(ramp, 1 - ramp)
    assert example.panels == 2
    ink = (pixels < 100).all(axis=-1)
    top, bottom = np.array_split(ink, 2)
    assert top[:, 20].argmax() > top[:, 220].argmax(), "the input rises"
    assert bottom[:, 20].argmax() < bottom[:, 220].argmax(), "the answer falls"
