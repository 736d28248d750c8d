"""Small pictures and what Pillow makes of them: tests/vectors/files/image.

    python3 tools/oracle/make_image_vectors.py tests/vectors/files/image [number of processors]

Offline tool (Pillow, numpy, safetensors, transformers; versions in requirements.txt). images/NAME are files of every kind that hora
reads, as small as they can be; expected.safetensors holds `pixels.NAME`, the levels (height, width, 3) after
exif_transpose and convert("RGB"), and `white.NAME`, laid on white, where there is transparency. operations.safetensors
holds `picture` and, as `NAME/ARGUMENT/..`, what Pillow's operations make of it (hue as torchvision turns it).
processors.json has random configurations of transformers' image processors, processors.safetensors a picture for each
and what the PIL backend makes of it.
"""
import importlib
import io
import json
import os
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from safetensors.numpy import save_file


def picture(w, h, seed):
    """Smooth colours with an edge and some noise, so that every coding has work to do."""
    r = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w].astype(float)
    a = np.stack([255 * x / max(w - 1, 1), 255 * y / max(h - 1, 1), 128 + 100 * np.sin(x / 2.0 + y / 3.0)], -1)
    a[h // 3: h // 2 + 1, w // 4: w // 2 + 1] = (220, 30, 60)
    return np.clip(a + r.normal(0, 6, a.shape), 0, 255).astype(np.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(w, h, depth, kind, rows, before=b"", interlaced=False):
    """A PNG by hand: what Pillow does not write. rows(y, x) gives the samples of a pixel."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for x0, y0, dx, dy in passes if interlaced else [(0, 0, 1, 1)]:
        xs = range(x0, w, dx)
        for y in range(y0, h, dy):
            bits = "".join(format(s, f"0{depth}b") for x in xs for s in rows(y, x))
            if bits:
                bits += "0" * (-len(bits) % 8)
                raw += b"\0" + bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))
    head = struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + chunk(b"IDAT", zlib.compress(raw, 9))
            + chunk(b"IEND", b""))


def exif(orientation, big=False):
    e = ">" if big else "<"
    return (b"Exif\0\0" + (b"MM\0*" if big else b"II*\0") + struct.pack(e + "IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0))


def jpegs(files):
    im = Image.fromarray(picture(13, 10, 1))

    def put(name, image=im, **options):
        out = io.BytesIO()
        image.save(out, "JPEG", **{"quality": 80, **options})
        files[name] = out.getvalue()

    put("420.jpg")
    put("422.jpg", subsampling=1)
    put("444_optimised.jpg", subsampling=0, optimize=True)
    put("progressive.jpg", progressive=True)
    put("restart.jpg", restart_marker_blocks=1)
    put("grey.jpg", im.convert("L"))
    put("cmyk.jpg", im.convert("CMYK"))
    put("rgb.jpg", keep_rgb=True, subsampling=0)
    put("turned_3_big_endian.jpg", exif=exif(3, True))
    put("turned_6.jpg", exif=exif(6))
    put("turned_9_is_upright.jpg", exif=exif(9))
    put("turned_8_by_xmp.jpg", xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="8"/></x:xmpmeta>')
    files["bytes_behind.jpg"] = files["420.jpg"] + b"tail" * 9
    data = files["cmyk.jpg"]
    at = data.index(b"Adobe")
    files["ycck.jpg"] = data[:at + 11] + b"\2" + data[at + 12:]


def pngs(files):
    a = picture(13, 10, 2)
    g = a.mean(-1).astype(int)
    palette = chunk(b"PLTE", bytes((37 * i + 11 * c) % 256 for i in range(16) for c in range(3)))
    alphas = chunk(b"tRNS", bytes(range(0, 256, 17)))
    for depth in 1, 2, 4, 8:
        files[f"grey{depth}.png"] = png(13, 10, depth, 0, lambda y, x: [g[y, x] >> (8 - depth)])
    for depth in 1, 2, 4:
        files[f"palette{depth}.png"] = png(13, 10, depth, 3, lambda y, x: [g[y, x] >> (8 - depth)],
                                           chunk(b"PLTE", palette[8:8 + 3 * 2**depth]))
    files["palette_alphas.png"] = png(13, 10, 8, 3, lambda y, x: [g[y, x] >> 4], palette + alphas)
    files["interlaced.png"] = png(13, 10, 8, 2, lambda y, x: a[y, x], interlaced=True)
    files["interlaced_grey1.png"] = png(13, 10, 1, 0, lambda y, x: [g[y, x] >> 7], interlaced=True)
    files["rgb16.png"] = png(13, 10, 16, 2, lambda y, x: [int(v) << 8 | 200 for v in a[y, x]])
    files["grey_alpha16.png"] = png(13, 10, 16, 4, lambda y, x: [int(g[y, x]) << 8 | 99, 9 << 8 | x * 4000 % 65536])
    files["rgba.png"] = png(13, 10, 8, 6, lambda y, x: [*a[y, x], (x * 31 + y * 17) % 256])
    files["grey_key.png"] = png(13, 10, 8, 0, lambda y, x: [g[y, x] & 240], chunk(b"tRNS", struct.pack(">H", 112)))
    files["rgb_key.png"] = png(13, 10, 8, 2, lambda y, x: a[y, x], chunk(b"tRNS", struct.pack(">HHH", *map(int, a[3, 3]))))
    text = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n" % len(exif(7)) + exif(7).hex().encode() + b"\n")
    files["turned_7_by_text.png"] = png(13, 10, 8, 0, lambda y, x: [g[y, x]], chunk(b"zTXt", text))
    end = chunk(b"IEND", b"")
    whole = png(13, 10, 8, 0, lambda y, x: [g[y, x]])
    files["turned_5_behind.png"] = whole[:-len(end)] + chunk(b"eXIf", exif(5)[6:]) + end
    files["turned_7_by_text_behind.png"] = whole[:-len(end)] + chunk(b"zTXt", text) + end
    files["gamma_profile_background.png"] = png(13, 10, 8, 2, lambda y, x: a[y, x], chunk(b"gAMA", struct.pack(">I", 99999))
                                                + chunk(b"iCCP", b"x\0\0damaged") + chunk(b"bKGD", b"\0\1\0\1\0\1"))


def webps(files):
    a = picture(13, 10, 3)
    alpha = (np.arange(130).reshape(10, 13, 1) * 2 % 256).astype(np.uint8)
    im, clear = Image.fromarray(a), Image.fromarray(np.concatenate([a, alpha], -1))

    def put(name, image, **options):
        out = io.BytesIO()
        image.save(out, "WEBP", **options)
        files[name] = out.getvalue()

    put("lossy.webp", im, quality=80)
    put("lossless.webp", im, lossless=True)
    put("lossy_alpha.webp", clear, quality=80)
    put("lossless_alpha.webp", clear, lossless=True, exact=True)
    put("turned_4.webp", im, lossless=True, exif=exif(4)[6:])
    put("animated.webp", im, lossless=True, save_all=True, append_images=[Image.fromarray(255 - a)], duration=40)


def turn_hue(im, factor):
    h, s, v = im.convert("HSV").split()
    h = (np.array(h).astype(int) + int(factor * 255)) % 256
    return Image.merge("HSV", (Image.fromarray(h.astype(np.uint8)), s, v)).convert("RGB")


def operations():
    im = Image.fromarray(picture(23, 17, 5))
    out = {"picture": im}
    for number, name in enumerate(["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]):
        for w, h in (9, 5), (40, 31), (23, 9), (50, 17), (1, 1), (3, 64), (22, 16), (22, 4):
            out[f"resize/{name}/{w}/{h}"] = im.resize((w, h), Image.Resampling(number))
    enhance = {"brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast,
               "saturation": ImageEnhance.Color, "sharpness": ImageEnhance.Sharpness}
    for name, kind in enhance.items():
        for factor in 0.0, 0.3, 0.9, 1.0, 1.45, 1.9:
            out[f"{name}/{factor}"] = kind(im).enhance(factor)
    for factor in -0.5, -0.11, 0.0, 0.25, 0.5:
        out[f"hue/{factor}"] = turn_hue(im, factor)
    for bits in 1, 4, 7, 8:
        out[f"posterize/{bits}"] = ImageOps.posterize(im, bits)
    for threshold in 0, 100, 256:
        out[f"solarize/{threshold}"] = ImageOps.solarize(im, threshold)
    out["autocontrast"] = ImageOps.autocontrast(ImageEnhance.Contrast(im).enhance(0.4))
    out["autocontrast_of"] = ImageEnhance.Contrast(im).enhance(0.4)
    out["equalize"] = ImageOps.equalize(im.resize((64, 64)))
    out["equalize_of"] = im.resize((64, 64))
    out["flip"] = im.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for degrees in -30.0, -7.5, 0.0, 3.0, 19.0, 30.0:
        out[f"rotate/{degrees}"] = im.rotate(degrees, Image.Resampling.NEAREST)
    for m in (1, 0.21, 0, 0, 1, 0), (1, -0.3, 0, 0, 1, 0), (1, 0, 0, 0.17, 1, 0), (1, 0, -4, 0, 1, 0), (1, 0, 0, 0, 1, 6):
        out["affine/" + "/".join(map(str, m))] = im.transform(im.size, Image.Transform.AFFINE, m, Image.Resampling.NEAREST)
    return {k: np.array(v) for k, v in out.items()}


CLASSES = {"ViT": "vit", "DeiT": "deit", "CLIP": "clip", "ChineseCLIP": "chinese_clip", "Bit": "bit", "VideoMAE": "videomae",
           "Siglip": "siglip", "Beit": "beit", "Blip": "blip", "Pvt": "pvt", "MobileNetV1": "mobilenet_v1",
           "MobileNetV2": "mobilenet_v2", "Levit": "levit", "ConvNext": "convnext"}


def random_size(r, crop=False):
    n = [int(v) for v in r.integers(3, 13, 2)]
    kinds = [n[0], n, {"height": n[0], "width": n[1]}]
    if not crop:
        kinds += [{"shortest_edge": n[0]}] * 2
        kinds += [{"shortest_edge": min(n), "longest_edge": max(n) + 1}, {"max_height": n[0], "max_width": n[1]}]
    return kinds[r.integers(len(kinds))]


def random_config(r, name):
    c = {"image_processor_type": name + "ImageProcessor", "size": random_size(r), "crop_size": random_size(r, True)}
    if name == "ConvNext":
        c["size"] = {"shortest_edge": int(r.choice([6, 9]))}
        c["crop_pct"] = float(r.choice([0.875, 0.7, 1.0]))
        del c["crop_size"]
    elif r.integers(2):
        c["do_center_crop"] = bool(r.integers(2))
    for key, values in (("resample", [0, 1, 2, 3, 4, 5]), ("do_rescale", [True, False]), ("do_normalize", [True, False, None]),
                        ("rescale_factor", [1 / 255, 1 / 127.5]), ("image_mean", [[0.4, 0.5, 0.3], [0.1, 0.1, 0.1]]),
                        ("image_std", [[0.2, 0.3, 0.25]])):
        if r.integers(2):
            c[key] = values[r.integers(len(values))]
    return c


def processors(folder, count):
    configs, tensors = {}, {}
    r = np.random.default_rng(6)
    for i in range(count):
        name = list(CLASSES)[i % len(CLASSES)]
        module = importlib.import_module(f"transformers.models.{CLASSES[name]}.image_processing_pil_{CLASSES[name]}")
        config = random_config(r, name)
        w, h = (int(v) for v in r.integers(4, 24, 2))
        px = picture(w, h, i)
        try:
            values = getattr(module, name + "ImageProcessorPil").from_dict(config)(Image.fromarray(px))["pixel_values"]
        except Exception as error:  # a shape that it does not make
            print(config, (h, w), error, file=sys.stderr)
            continue
        while isinstance(values, (list, tuple)):
            values = values[0]
        configs[str(i)] = config
        tensors[f"{i}.picture"] = px
        tensors[f"{i}.values"] = np.ascontiguousarray(values, dtype=np.float32)
    save_file(tensors, os.path.join(folder, "processors.safetensors"), {"format": "pt"})
    with open(os.path.join(folder, "processors.json"), "w") as f:
        f.write("{\n" + ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in configs.items()) + "\n}\n")


def main(folder, count):
    files, expected = {}, {}
    jpegs(files)
    pngs(files)
    webps(files)
    a = picture(5, 4, 4)
    files["plain.ppm"] = b"P6 # made\n5 4\n255\n" + a.tobytes()
    files["plain.pgm"] = b"P5\n5 4 255\n" + a[..., 0].tobytes()
    os.makedirs(os.path.join(folder, "images"), exist_ok=True)
    for name, data in files.items():
        with open(os.path.join(folder, "images", name), "wb") as f:
            f.write(data)
        im = Image.open(io.BytesIO(data))
        if name == "gamma_profile_background.png":  # Pillow alone stops at the damaged profile
            im = Image.fromarray(picture(13, 10, 2))
        im = ImageOps.exif_transpose(im)
        expected["pixels." + name] = np.array(im.convert("RGB"))
        if "A" in im.getbands() or "transparency" in im.info:
            white = Image.new("RGBA", im.size, (255, 255, 255, 255))
            expected["white." + name] = np.array(Image.alpha_composite(white, im.convert("RGBA")).convert("RGB"))
    save_file(expected, os.path.join(folder, "expected.safetensors"), {"format": "pt"})
    processors(folder, count)
    save_file(operations(), os.path.join(folder, "operations.safetensors"), {"format": "pt"})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 56)
