"""Names of untrusted rows lead to regular files in one folder only."""

import os

import pytest

from keras_byorn.data.readers.image_files import ImageFiles


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "data"
    (folder / "images" / "deep").mkdir(parents=True)
    (folder / "a.png").write_text("a")
    (folder / "images" / "b.png").write_text("b")
    (folder / "images" / "deep" / "c.png").write_text("c")
    (tmp_path / "secret.png").write_text("secret")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "a.png",
        " a.png ",
        "./images/../a.png",
        "file:a.png",
        "file:///{folder}/a.png",
        "file://localhost/{folder}/a.png",
        "FILE:///{folder}/%61.png",
    ],
)
def test_names_of_one_file(folder, name):
    """All lead to the same."""
    found = ImageFiles(folder).find(name.format(folder=folder))
    assert found == (folder / "a.png").resolve()


@pytest.mark.parametrize(
    "name", ["b.png", "images/b.png", "images\\b.png", ".\\images\\b.png"]
)
def test_names_below(folder, name):
    """The folder `images` is looked into."""
    found = ImageFiles(folder).find(name)
    assert found == (folder / "images" / "b.png").resolve()


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "..\\secret.png",
        "images/../../secret.png",
        "{folder}/../secret.png",
        "file:///{folder}/../secret.png",
        "file:///{folder}/%2e%2e/secret.png",
        "link.png",
        "linked/secret.png",
    ],
)
def test_ways_out_are_closed(folder, name):
    """Of dots, addresses and links; open where they are trusted."""
    os.symlink("../secret.png", folder / "link.png")
    os.symlink("..", folder / "linked")
    name = name.format(folder=folder)
    with pytest.raises(ValueError, match="inside of the folder"):
        ImageFiles(folder).find(name)
    found = ImageFiles(folder, allow_outside=True).find(name)
    assert found.read_text() == "secret"


@pytest.mark.parametrize(
    "name, message",
    [
        ("", "is empty"),
        ("a\0.png", "has no NUL"),
        ("x" * 5000, "there is no file"),
        ("a.PNG.not", "there is no file"),
        ("http://example.com/a.png", "not downloaded"),
        ("HTTPS://example.com/a.png", "not downloaded"),
        ("s3://bucket/a.png", "not downloaded"),
        ("file://server/a.png", "not downloaded"),
        ("data:image/png;base64,AAAA", "not downloaded"),
        ("images", "only regular files"),
        ("/dev/zero", "inside of the folder"),
        ("C:\\pictures\\a.png", "there is no file"),
    ],
)
def test_other_names_are_refused(folder, name, message):
    """Each with the reason, none at length."""
    with pytest.raises(ValueError, match=message) as caught:
        ImageFiles(folder).find(name)
    assert len(str(caught.value)) < 500


def test_devices_are_never_read(folder):
    """Not even where names are trusted: /dev/zero has no end."""
    with pytest.raises(ValueError, match="only regular files"):
        ImageFiles(folder, allow_outside=True).find("/dev/zero")


def test_without_a_folder(folder):
    """No name is read, unless it is said."""
    with pytest.raises(ValueError, match="Pass `image_folder=`"):
        ImageFiles(None).find(str(folder / "a.png"))
    files = ImageFiles(None, allow_outside=True)
    assert files.find(str(folder / "a.png")).read_text() == "a"


def test_a_linked_folder_of_images_names_the_remedy(tmp_path, folder):
    """Many link `images` to where the pictures are."""
    (tmp_path / "set").mkdir()
    os.symlink(folder / "images", tmp_path / "set" / "images")
    with pytest.raises(ValueError, match="allow_outside=True"):
        ImageFiles(tmp_path / "set").find("b.png")
