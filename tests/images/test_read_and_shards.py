"""Sources to labelled images, and to shards: sizes, order of classes, the split, damage."""

import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.images.read import LabelledImages, in_order, read_images, read_pictures
from homespun.images.settings import ImagesConfig
from homespun.images.shards import ImageShards, choose_validation, read_manifest, verify_images, write_images
from tests.damaged_arrays import HEADERS, encrypt, write_archive
from tests.images.conftest import png_bytes, stripes


def test_an_archive_and_a_folder_of_the_same_images_are_the_same(picture_folder: Path, tmp_path: Path) -> None:
    images, classes = stripes(30)
    np.savez(tmp_path / "same.npz", images=images, labels=np.array(["across", "down", "square"])[classes])
    from_archive, from_folder = read_images([str(tmp_path / "same.npz")]), read_images([str(picture_folder)])
    assert from_archive.labels == from_folder.labels == ("across", "down", "square")
    assert from_archive.pixels.shape == (30, 8, 8, 1) and from_archive.pixels.dtype == np.uint8

    def sorted_rows(found: LabelledImages) -> list[tuple[bytes, int]]:
        return sorted((image.tobytes(), int(kind)) for image, kind in zip(found.pixels, found.classes, strict=True))

    assert sorted_rows(from_archive) == sorted_rows(from_folder)


def test_several_sources_are_one_set(archive: Path, picture_folder: Path) -> None:
    heard: list[int] = []
    both = read_images([str(archive), str(picture_folder)], heard.append)
    assert len(both.pixels) == 150 and both.labels == ("across", "down", "square")
    assert len(heard) == 31 and sum(heard) > archive.stat().st_size


def test_numbers_stand_in_their_own_order() -> None:
    assert in_order({"10", "9", "1"}) == ("1", "9", "10")
    assert in_order({"b", "10", "9"}) == ("10", "9", "b")


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_that_numpy_cannot_read_is_one_line(header: bytes, tmp_path: Path) -> None:
    write_archive(tmp_path / "bad.npz", "images", header)
    with pytest.raises(HomespunError, match=r"bad\.npz") as raised:
        read_images([str(tmp_path / "bad.npz")])
    assert "\n" not in str(raised.value)


def test_an_encrypted_archive_is_one_line(archive: Path, tmp_path: Path) -> None:
    copy = tmp_path / "encrypted.npz"
    copy.write_bytes(archive.read_bytes())
    encrypt(copy)
    with pytest.raises(HomespunError, match="encrypted"):
        read_images([str(copy)])


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"images": np.zeros((20, 8, 8))}, "images.*float64"),
        ({"images": np.zeros((20, 8), np.uint8)}, "of shape"),
        ({"images": np.zeros((20, 8, 9), np.uint8)}, "must be square"),
        ({"images": np.zeros((20, 0, 0), np.uint8)}, "of shape"),
        ({"labels": np.arange(19) % 2}, "labels are"),
        ({"labels": np.arange(20) / 2}, "labels are float64"),
        ({"labels": np.zeros(20, np.int64)}, "20 images of 1 classes"),
        ({"images": np.zeros((4, 8, 8), np.uint8), "labels": np.arange(4)}, "4 images of 4 classes"),
        ({"images": np.array([object()] * 20)}, "cannot be read as a file of arrays"),
        ({"images": None}, "has no array images; it has labels"),
    ],
)  # fmt: skip
def test_an_archive_that_does_not_fit_is_one_line(arrays: dict[str, np.ndarray], says: str, tmp_path: Path) -> None:
    whole = {"images": np.zeros((20, 8, 8), np.uint8), "labels": np.arange(20) % 2} | arrays
    np.savez(tmp_path / "bad.npz", **{name: array for name, array in whole.items() if array is not None})
    with pytest.raises(HomespunError, match=says) as raised:
        read_images([str(tmp_path / "bad.npz")])
    assert "bad.npz" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04 cut off", b"\x80\x04K\x01.", b"text"])
def test_a_file_that_is_no_archive_is_one_line(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(raw)
    with pytest.raises(HomespunError, match=r"bad\.npz"):
        read_images([str(tmp_path / "bad.npz")])


def test_an_array_of_absurd_size_is_one_line(tmp_path: Path) -> None:
    header = str({"descr": "|u1", "fortran_order": False, "shape": (10**15, 8, 8)}).ljust(117) + "\n"
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode("latin1"))
    with pytest.raises(DamagedFileError, match=r"bad\.npz cannot be read as a file of arrays"):
        read_images([str(tmp_path / "bad.npz")])


def test_images_stored_column_by_column_are_the_same(archive: Path, tmp_path: Path) -> None:
    """As programs write them that count the first index fastest."""
    with np.load(archive) as arrays:
        np.savez(tmp_path / "turned.npz", images=np.asfortranarray(arrays["images"]), labels=arrays["labels"])
    folders = []
    for name, source in (("rows", archive), ("columns", tmp_path / "turned.npz")):
        folders.append(tmp_path / name)
        write_images(read_images([str(source)]), folders[-1], ImagesConfig())
    assert read_manifest(folders[0]) == read_manifest(folders[1])


def test_an_array_without_a_name_is_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "single.npy", np.zeros((20, 8, 8), np.uint8))
    (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    with pytest.raises(DamagedFileError, match="a single array without a name"):
        read_images([str(tmp_path / "single.npz")])


def test_a_truncated_archive_is_one_line(archive: Path, tmp_path: Path) -> None:
    raw = archive.read_bytes()
    for length in range(0, len(raw), 397):
        (tmp_path / "cut.npz").write_bytes(raw[:length])
        with pytest.raises(HomespunError, match=r"cut\.npz"):
            read_images([str(tmp_path / "cut.npz")])


def test_sources_that_hold_no_images(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    for sources, says in (
        ([], "no source given"),
        ([str(tmp_path / "absent")], "does not exist"),
        ([str(tmp_path / "text.txt")], "neither a folder nor"),
        ([str(tmp_path / "empty")], "no PNG files in folders"),
    ):
        with pytest.raises(UsageError, match=says):
            read_images(sources)


def test_images_of_two_sizes_are_named(picture_folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "mixed" / "odd"
    place.mkdir(parents=True)
    (place / "large.png").write_bytes(png_bytes(np.zeros((9, 9, 3), np.uint8), 2))
    with pytest.raises(HomespunError, match=r"large\.png: the images are 9 x 9 pixels in colour, the ones before it 8"):
        read_images([str(picture_folder), str(tmp_path / "mixed")])


def test_pictures_to_be_named(archive: Path, picture_folder: Path, tmp_path: Path) -> None:
    several = read_pictures(archive, 8, 1)
    assert several.pixels.shape == (120, 8, 8, 1) and several.labels[1] == "down" and several.names[1].endswith("npz 1")
    one = read_pictures(picture_folder / "down" / "1.png", 8, 1)
    assert one.pixels.shape == (1, 8, 8, 1) and one.labels == []
    with pytest.raises(HomespunError, match="8 x 8 pixels in grey; the model was trained on 28 x 28 pixels in colour"):
        read_pictures(picture_folder / "down" / "1.png", 28, 3)
    with pytest.raises(UsageError, match="there is no file"):
        read_pictures(tmp_path / "absent.png", 8, 1)


@settings(deadline=None, max_examples=30)
@given(count=st.integers(2, 60), fraction=st.floats(0.01, 0.5), seed=st.integers(0, 2**64 - 1), order=st.randoms())
def test_the_split_knows_only_the_images(count: int, fraction: float, seed: int, order) -> None:
    images = np.random.default_rng(count).integers(0, 256, (count, 4, 4, 1), dtype=np.uint8)
    config = ImagesConfig(validation_fraction=fraction, split_seed=seed)
    held_back = choose_validation(images, config)
    assert held_back.sum() == max(1, round(fraction * count))
    places = list(range(count))
    order.shuffle(places)
    np.testing.assert_array_equal(choose_validation(images[places], config), held_back[places])


def test_copies_of_an_image_are_never_in_both_parts() -> None:
    images = np.repeat(np.random.default_rng(0).integers(0, 256, (7, 4, 4, 1), dtype=np.uint8), 5, axis=0)
    for seed in range(20):
        held_back = choose_validation(images, ImagesConfig(validation_fraction=0.3, split_seed=seed)).reshape(7, 5)
        assert (held_back.all(axis=1) | ~held_back.any(axis=1)).all() and 0 < held_back.sum() < 35


@pytest.fixture
def shards(archive: Path, tmp_path: Path) -> Path:
    write_images(read_images([str(archive)]), tmp_path / "shards", ImagesConfig(validation_fraction=0.25))
    return tmp_path / "shards"


def test_shards_hold_every_image_once(archive: Path, shards: Path) -> None:
    verify_images(shards)
    images, manifest = read_images([str(archive)]), read_manifest(shards)
    train, validation = ImageShards(shards, "train"), ImageShards(shards, "validation")
    assert (len(train), len(validation)) == (90, 30)
    assert [sum(manifest["splits"][split]["of_class"]) for split in ("train", "validation")] == [90, 30]
    found = [
        (image.tobytes(), int(kind))
        for part in (train, validation) for image, kind in zip(part.pixels, part.classes, strict=True)
    ]  # fmt: skip
    wanted = [(image.tobytes(), int(kind)) for image, kind in zip(images.pixels, images.classes, strict=True)]
    assert sorted(found) == sorted(wanted)


def test_damage_is_named(shards: Path) -> None:
    for file in sorted(shards.glob("*.bin")):
        raw = file.read_bytes()
        file.write_bytes(bytes([raw[0] ^ 1]) + raw[1:])
        with pytest.raises(DamagedFileError, match=f"{file.name} is damaged"):
            verify_images(shards)
        file.write_bytes(raw[:-1])
        with pytest.raises(DamagedFileError, match="bytes instead of"):
            ImageShards(shards, file.name.split(".")[0])
        file.unlink()
        with pytest.raises(DamagedFileError, match="is missing"):
            verify_images(shards)
        file.write_bytes(raw)


@pytest.mark.parametrize("change", ["format", "labels", "image_size", "splits"])
def test_a_damaged_manifest_is_named(shards: Path, change: str) -> None:
    manifest = json.loads((shards / "manifest.json").read_text())
    (shards / "manifest.json").write_text(json.dumps(manifest | {change: None}))
    with pytest.raises(DamagedFileError, match="delete"):
        read_manifest(shards)


def test_all_the_same_is_refused(tmp_path: Path) -> None:
    same = LabelledImages(np.zeros((12, 4, 4, 1), np.uint8), np.arange(12) % 2, ("a", "b"))
    with pytest.raises(HomespunError, match="no image left to train on"):
        write_images(same, tmp_path / "shards", ImagesConfig())


@pytest.mark.parametrize("wrong", [{"validation_fraction": 0.0}, {"validation_fraction": 0.6}, {"shift": -1},
                                   {"split_seed": -1}])  # fmt: skip
def test_settings_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"images.{next(iter(wrong))}"):
        ImagesConfig(**wrong)
