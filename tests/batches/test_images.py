"""Batches of images: a pure function of the seed and the number; every image once; shifts that are shifts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.batches.images import ImageBatches, chance_shifts, inputs_of, shifted, validation_images
from homespun.images.read import LabelledImages
from homespun.images.settings import ImagesConfig
from homespun.images.shards import ImageShards, write_images


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ImageShards:
    """40 images to train on, 10 for validation; the first pixel of an image is its class."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 6, 6, 3), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(50)
    folder = tmp_path_factory.mktemp("shards") / "images"
    images = LabelledImages(pixels, np.arange(50), tuple(map(str, range(50))))
    write_images(images, folder, ImagesConfig(validation_fraction=0.2))
    return ImageShards(folder, "train")


def test_every_epoch_has_every_image_once_and_an_order_of_its_own(shards: ImageShards) -> None:
    batches = ImageBatches(shards, 8, seed=3, shift=0)
    assert batches.windows == 40
    epochs = [torch.cat([batches.batch(5 * epoch + step).targets for step in range(5)]) for epoch in range(3)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == sorted(shards.classes.tolist())
    assert epochs[0].tolist() != epochs[1].tolist()


def test_a_batch_depends_on_nothing_but_seed_and_number(shards: ImageShards) -> None:
    first, again = (ImageBatches(shards, 8, seed=3, shift=2) for _ in range(2))
    later = first.batch(17)
    torch.testing.assert_close(again.batch(17).inputs, later.inputs, rtol=0, atol=0)
    assert not torch.equal(ImageBatches(shards, 8, seed=4, shift=2).batch(17).inputs, later.inputs)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_the_batch(shards: ImageShards, processes: int) -> None:
    whole = ImageBatches(shards, 8, seed=3, shift=1).batch(6)
    parts = [ImageBatches(shards, 8, 3, 1, rank, processes).batch(6) for rank in range(processes)]
    torch.testing.assert_close(torch.cat([part.inputs for part in parts]), whole.inputs, rtol=0, atol=0)
    assert torch.cat([part.targets for part in parts]).tolist() == whole.targets.tolist()


def test_without_shift_inputs_are_the_pixels(shards: ImageShards) -> None:
    batch = ImageBatches(shards, 8, seed=1, shift=0).batch(0)
    assert batch.inputs.shape == (8, 3, 6, 6) and batch.inputs.dtype == torch.float32 and batch.inputs.is_contiguous()
    first = ((batch.inputs[:, 0, 0, 0] + 1) * 127.5).round().long()
    assert first.tolist() == batch.targets.tolist()
    assert float(inputs_of(np.array([[[[0]]], [[[255]]]], np.uint8))[0]) == -1
    assert float(inputs_of(np.array([[[[0]]], [[[255]]]], np.uint8))[1]) == 1


@settings(deadline=None, max_examples=60)
@given(side=st.integers(1, 7), down=st.integers(-4, 4), right=st.integers(-4, 4))
def test_a_shift_moves_and_repeats_the_edge(side: int, down: int, right: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (1, side, side, 2), dtype=np.uint8)
    found = shifted(image, np.array([[down, right]]))
    for y in range(side):
        for x in range(side):
            source = min(max(y - down, 0), side - 1), min(max(x - right, 0), side - 1)
            np.testing.assert_array_equal(found[0, y, x], image[0, source[0], source[1]])


def test_every_shift_occurs_about_equally_often() -> None:
    shifts = chance_shifts(np.arange(9000), 1, seed=5)
    _, counts = np.unique(shifts, axis=0, return_counts=True)
    assert len(counts) == 9 and counts.min() > 850 and counts.max() < 1150
    assert np.abs(chance_shifts(np.arange(1000), 3, seed=5)).max() == 3


def test_validation_has_every_image_once_as_it_is(shards: ImageShards) -> None:
    held_back = ImageShards(Path(shards.folder), "validation")
    batches = list(validation_images(held_back, 4))
    assert [len(batch.inputs) for batch in batches] == [4, 4, 2]
    assert torch.cat([batch.targets for batch in batches]).tolist() == held_back.classes.tolist()
    torch.testing.assert_close(torch.cat([batch.inputs for batch in batches]), inputs_of(held_back.pixels))
