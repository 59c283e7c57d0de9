"""Pictures in files, of all modes of colour, and what breaks them."""

import io

import numpy as np
import PIL.Image

from reader_cases.case import (
    GREEN,
    RED,
    assert_color,
    one_image,
    one_value,
    picture,
    read,
    refused,
)

SECTION = "Pictures"


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@read(SECTION, "PNG, RGB", "the same pixels")
def rgb(folder):
    assert_color(one_image(folder, "it.png", saved(picture())), RED)


@read(SECTION, "JPEG", "its pixels, as Pillow decodes them")
def jpeg(folder):
    data = saved(picture(size=(16, 16)), "JPEG", quality=95)
    assert_color(one_image(folder, "it.jpg", data), RED, atol=4)


@read(SECTION, "JPEG, with an EXIF orientation", "turned upright")
def exif(folder):
    image = picture(size=(16, 8))
    image.paste(GREEN, (0, 0, 8, 8))  # green left; turned right: green on top
    tags = PIL.Image.Exif()
    tags[0x0112] = 6
    data = saved(image, "JPEG", quality=100, exif=tags, subsampling=0)
    pixels = one_image(folder, "it.jpg", data)
    assert pixels.shape == (16, 8, 3)
    assert_color(pixels[1:7], GREEN, atol=8)
    assert_color(pixels[9:15], RED, atol=8)


@read(SECTION, "JPEG, grey", "grey in all three channels")
def grey_jpeg(folder):
    data = saved(PIL.Image.new("L", (8, 8), 77), "JPEG")
    assert_color(one_image(folder, "it.jpg", data), (77,) * 3, atol=1)


@read(SECTION, "JPEG, CMYK", "converted to RGB")
def cmyk(folder):
    data = saved(PIL.Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    assert_color(one_image(folder, "it.jpg", data), (255, 0, 0), atol=3)


@read(SECTION, "JPEG of several pictures (MPO, as phones write)", "the first")
def mpo(folder):
    data = saved(
        picture(size=(16, 16)),
        "MPO",
        save_all=True,
        append_images=[picture(GREEN, (16, 16))],
    )
    assert_color(one_image(folder, "it.jpg", data), RED, atol=4)


@read(SECTION, "PNG, palette", "the colours of the palette")
def palette(folder):
    data = saved(picture().convert("P", palette=PIL.Image.Palette.ADAPTIVE))
    assert_color(one_image(folder, "it.png", data), RED)


@read(SECTION, "PNG, palette with a transparent colour", "white there")
def transparent_palette(folder):
    image = PIL.Image.new("P", (3, 2), 0)
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    pixels = one_image(folder, "it.png", saved(image, transparency=0))
    assert pixels[0].tolist() == [[255] * 3, list(GREEN), [255] * 3]


@read(SECTION, "PNG, grey", "grey in all three channels")
def grey(folder):
    data = saved(PIL.Image.new("L", (3, 2), 77))
    assert_color(one_image(folder, "it.png", data), (77, 77, 77))


@read(SECTION, "PNG, black and white, one bit", "0 and 255")
def one_bit(folder):
    image = PIL.Image.new("1", (3, 2), 1)
    image.putpixel((0, 0), 0)
    pixels = one_image(folder, "it.png", saved(image))
    assert pixels[..., 0].tolist() == [[0, 255, 255], [255, 255, 255]]


@read(SECTION, "PNG, RGB and alpha", "blended over white")
def alpha(folder):
    image = PIL.Image.new("RGBA", (3, 2), (*RED, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    image.putpixel((2, 0), (0, 100, 200, 51))  # a fifth
    pixels = one_image(folder, "it.png", saved(image))
    assert pixels[0].tolist() == [list(RED), [255] * 3, [204, 224, 244]]


@read(SECTION, "PNG, grey and alpha", "blended over white")
def grey_alpha(folder):
    image = PIL.Image.new("LA", (3, 2), (40, 255))
    image.putpixel((1, 0), (40, 0))
    pixels = one_image(folder, "it.png", saved(image))
    assert pixels[0].tolist() == [[40] * 3, [255] * 3, [40] * 3]


@read(SECTION, "PNG, RGB with one transparent colour", "white there")
def transparent_color(folder):
    image = picture()
    image.putpixel((1, 0), GREEN)
    pixels = one_image(folder, "it.png", saved(image, transparency=GREEN))
    assert pixels[0].tolist() == [list(RED), [255] * 3, list(RED)]


@read(SECTION, "PNG, 16 bits", "scaled from 0 to 65535, not clipped")
def deep_png(folder):
    values = np.array([[0, 257, 32768], [300, 65535, 25700]], "uint16")
    pixels = one_image(folder, "it.png", saved(PIL.Image.fromarray(values)))
    assert pixels[..., 0].tolist() == [[0, 1, 128], [1, 255, 100]]
    assert (pixels == pixels[..., :1]).all()


@read(SECTION, "PNG, 16 bits that hold 12", "by `pixel_range=(0, 4095)`")
def twelve_bits(folder):
    values = np.array([[0, 4095, 819]], "uint16")
    data = saved(PIL.Image.fromarray(values))
    pixels = one_image(folder, "it.png", data, pixel_range=(0, 4095))
    assert pixels[..., 1].tolist() == [[0, 255, 51]]


@refused(SECTION, "PNG, 16 bits, out of `pixel_range`", "they are not clipped")
def beyond_range(folder):
    data = saved(PIL.Image.fromarray(np.array([[0, 5000]], "uint16")))
    one_image(folder, "it.png", data, pixel_range=(0, 4095))


@read(SECTION, "TIFF, 32-bit floats in [0, 1]", "scaled by 255")
def float_tiff(folder):
    values = np.array([[0.0, 0.2, 1.0]], "float32")
    data = saved(PIL.Image.fromarray(values), "TIFF")
    pixels = one_image(folder, "it.tif", data)
    assert pixels[..., 2].tolist() == [[0, 51, 255]]


@read(SECTION, "TIFF, floats in no usual range", "by its least and most")
def height_map(folder):
    values = np.array([[-1000.0, 4100.0, -980.0]], "float32")
    data = saved(PIL.Image.fromarray(values), "TIFF")
    pixels = one_image(folder, "it.tif", data)
    assert pixels[..., 2].tolist() == [[0, 255, 1]]


@read(SECTION, "TIFF, 16 bits, big-endian", "scaled from 0 to 65535")
def big_endian(folder):
    values = np.array([0, 51400, 65535], ">u2").tobytes()
    data = saved(PIL.Image.frombytes("I;16B", (3, 1), values), "TIFF")
    pixels = one_image(folder, "it.tif", data)
    assert pixels[..., 0].tolist() == [[0, 200, 255]]


@read(SECTION, "WEBP, with alpha", "blended over white")
def webp(folder):
    image = PIL.Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    data = saved(image, "WEBP", lossless=True)
    assert_color(one_image(folder, "it.webp", data), (255, 255, 255))


@read(SECTION, "GIF, animated", "the first picture")
def gif(folder):
    data = saved(
        picture().quantize(2),
        "GIF",
        save_all=True,
        append_images=[picture(GREEN).quantize(2)],
    )
    assert_color(one_image(folder, "it.gif", data), RED)


@read(SECTION, "BMP", "the same pixels")
def bmp(folder):
    assert_color(one_image(folder, "it.bmp", saved(picture(), "BMP")), RED)


@read(SECTION, "PPM", "the same pixels")
def ppm(folder):
    assert_color(one_image(folder, "it.ppm", saved(picture(), "PPM")), RED)


@read(SECTION, "a PNG that is called .jpg", "by what it is, not by its name")
def misnamed(folder):
    assert_color(one_image(folder, "it.jpg", saved(picture())), RED)


@read(SECTION, "Pillow image, with an EXIF orientation", "turned upright")
def pillow_exif(folder):
    tags = PIL.Image.Exif()
    tags[0x0112] = 6
    data = saved(picture(size=(16, 8)), "JPEG", exif=tags)
    image = PIL.Image.open(io.BytesIO(data))
    assert one_value(image).shape == (16, 8, 3)


@refused(SECTION, "JPEG, cut off", "the image cannot be decoded")
def truncated(folder):
    rng = np.random.default_rng(0)
    noise = PIL.Image.fromarray(rng.integers(0, 256, (64, 64, 3), "uint8"))
    one_image(folder, "it.jpg", saved(noise, "JPEG")[:-400])


@refused(SECTION, "PNG with a wrong checksum", "cannot be decoded")
def corrupt(folder):
    data = bytearray(saved(picture(size=(64, 64))))
    data[data.index(b"IDAT") + 8] ^= 0xFF
    one_image(folder, "it.png", bytes(data))


@refused(SECTION, "an empty file", "the file of the image is empty")
def empty(folder):
    one_image(folder, "it.png", b"")


@refused(SECTION, "a web page that is called .jpg", "no image in one of")
def web_page(folder):
    one_image(folder, "it.jpg", b"<!DOCTYPE html><title>404</title>")


@refused(SECTION, "EPS (a program, not a raster)", "no image in one of")
def eps(folder):
    one_image(folder, "it.png", saved(picture(), "EPS"))


@refused(SECTION, "BMP, where `formats=['PNG']`", "the formats PNG")
def formats(folder):
    (folder / "it.bmp").write_bytes(saved(picture(), "BMP"))
    one_image(folder, "it.bmp", formats=["PNG"])


@refused(SECTION, "more pixels than `max_pixels`", "at most 20 pixels")
def too_large(folder):
    data = saved(picture(size=(7, 3)))
    one_image(folder, "it.png", data, max_pixels=20)
