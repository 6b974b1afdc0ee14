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

# Films, which the extra `video` reads.
FILMS = frozenset((".3gp", ".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wmv"))

# Sound files, which the extra `speech` hears.
SOUNDS = frozenset(
    [
        *(".mp3", ".m4a", ".m4b", ".aac", ".wav", ".flac", ".ogg", ".oga", ".opus", ".amr", ".aif", ".aiff", ".caf"),
        *(".weba", ".wma"),
    ]
)

# What has more kinds of files read than Descry does by itself, with their suffixes.
REMEDIES = {
    "`pip install 'descry[formats]'` gets what reads": frozenset(
        suffix for own in RARE_SUFFIXES.values() for suffix in own
    ),
    "`pip install 'descry[video]'` gets what reads": FILMS,
    "`descry index --speech` hears what is said in": SOUNDS,
}


def of_no_kind(suffix: str) -> str:
    """What a file of that suffix is, which nothing reads, and what would have it read.

    >>> of_no_kind(".exe"), of_no_kind(".MP4")
    ('neither a photo nor a text, by its name', "a .MP4, by its name: `pip install 'descry[video]'` gets what reads it")
    """
    for remedy, suffixes in REMEDIES.items():
        if suffix.lower() in suffixes:
            return f"a {suffix}, by its name: {remedy} it"
    return "neither a photo nor a text, by its name"


SUFFIXES = frozenset(
    [
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".avifs"),
        *(".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
        *(".pnm", ".pbm", ".pgm", ".ppm"),
        *(".heic", ".heif", ".hif"),
        *(suffix for package, suffixes in RARE_SUFFIXES.items() if find_spec(package) for suffix in suffixes),
    ]
)
