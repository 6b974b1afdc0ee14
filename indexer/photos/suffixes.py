"""The names of photos' files; apart, so that whoever asks for them waits for no decoder."""

from importlib.util import find_spec

# What the extra `formats` reads, by the package of it that does.
RARE_SUFFIXES = {
    "pillow_jxl": (".jxl",),
    "rawpy": (
        *(".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw"),
        *(".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    ),
}

SUFFIXES = frozenset(
    [
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".avifs"),
        *(".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
        *(".pnm", ".pbm", ".pgm", ".ppm"),
        *(".heic", ".heif", ".hif"),
        *(suffix for package, suffixes in RARE_SUFFIXES.items() if find_spec(package) for suffix in suffixes),
    ]
)
