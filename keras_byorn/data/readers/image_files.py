"""Files of images that untrusted rows name, within one folder."""

import pathlib
import stat
import urllib.parse
import urllib.request

from keras_byorn.data.shown import shortened

SUBFOLDERS = ("images", "Images")  # looked into, beside the folder itself


class ImageFiles:
    """Finds the regular files that rows name, inside a folder.

    A name may have backslashes, or be a `file://` address. Links are followed
    first, and must not lead out of the folder.

    Args:
        folder: path, or `None` where rows hold images and name no files.
        allow_outside: bool. Whether files outside of the folder are read.

    Example:

    >>> ImageFiles("pictures").find("cats/one.png")
    PosixPath('/data/pictures/cats/one.png')
    """

    def __init__(self, folder, allow_outside=False):
        self._folders = None
        if folder is not None:
            folder = pathlib.Path(folder)
            within = (folder / name for name in SUBFOLDERS)
            # One of them, if the file system knows no upper case.
            within = {f.stat().st_ino: f for f in within if f.is_dir()}
            self._folders = [folder, *within.values()]
            self._root = folder.resolve()
        self._allow_outside = allow_outside

    def find(self, name):
        """Returns the file that a row names.

        Args:
            name: string or path, absolute or relative to the folder, or to
                its folder `images`.

        Returns:
            A `pathlib.Path` without links in it.

        Raises:
            ValueError: If there is no such file, if it is outside of the
                folder or not a regular file, or if the name is an address.
        """
        name = _without_scheme(str(name).strip())
        if self._folders is None:
            if not self._allow_outside:
                raise ValueError(
                    "names of files are read where their folder is known. Pass "
                    "`image_folder=`, or `allow_outside=True` for files "
                    f"anywhere. Received: {shortened(name)}"
                )
            return _regular(pathlib.Path(name).resolve(), name)
        found = {path for path in self._candidates(name) if _exists(path)}
        if not found:
            raise ValueError(
                f"there is no file {shortened(name)} in "
                f"{' or '.join(map(str, self._folders))}"
            )
        if len(found) > 1:
            raise ValueError(
                f"the name {shortened(name)} fits several files, "
                f"{sorted(map(str, found))}. Pass `image_folder=`"
            )
        path = found.pop()
        if not self._allow_outside and not path.is_relative_to(self._root):
            raise ValueError(
                "files must be inside of the folder, links resolved. Pass "
                "`allow_outside=True` if you trust the names. Received: "
                f"{shortened(name)}, which is outside of {self._root}"
            )
        return _regular(path, name)

    def _candidates(self, name):
        names = [name]
        if "\\" in name:
            names.append(name.replace("\\", "/"))
        for folder in self._folders:
            for form in names:
                yield (folder / form).resolve()


def _without_scheme(name):
    if not name:
        raise ValueError("the name of the image is empty")
    if "\0" in name:
        raise ValueError(f"a name has no NUL. Received: {shortened(name)}")
    scheme, _, rest = name.partition(":")
    if scheme.lower() == "file":
        address = urllib.parse.urlsplit(name)
        if address.netloc in ("", "localhost"):
            return urllib.request.url2pathname(address.path)
    if rest.startswith("//") or scheme.lower() == "data":
        raise ValueError(
            "images are not downloaded. Download them, and name their files. "
            f"Received: {shortened(name)}"
        )
    return name


def _exists(path):
    try:
        return path.exists()
    except OSError:  # such as a name that is too long
        return False


def _regular(path, name):
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ValueError(f"there is no file {shortened(name)}") from error
    if not stat.S_ISREG(mode):
        raise ValueError(
            "only regular files are read, no folders, devices or pipes. "
            f"Received: {shortened(name)}"
        )
    return path
