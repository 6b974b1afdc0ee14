"""The facts that photos carry, in the ways in which cameras, phones and programs write them."""

from datetime import datetime
from pathlib import Path

import pytest
from make_photos import SIZE, cat, with_exif
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from indexer.photos.facts import degrees, photo_facts, xmp_facts
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb

PLAIN = {"width": SIZE[0], "height": SIZE[1]}
XMP = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"{attributes}>{elements}'
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def xmp(attributes: str = "", **elements: str) -> bytes:
    """An XMP packet with properties as attributes and, `prefix_name` for `prefix:name`, as elements."""
    named = {name.replace("_", ":", 1): value for name, value in elements.items()}
    written = "".join(f"<{name}>{value}</{name}>" for name, value in named.items())
    return XMP.format(attributes=f" {attributes}", elements=written).encode()


def dated(path: Path, value: str) -> Path:
    """A JPEG of the cat whose EXIF says that date, as it stands."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = value
    cat().save(path, exif=exif)
    return path


def placed(path: Path, latitude: object, longitude: object, *, sides: tuple[object, object] = ("N", "E")) -> Path:
    """A JPEG of the cat whose EXIF says those coordinates, as they stand; None leaves the hemisphere out."""
    exif = Image.Exif()
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    for tag, value in enumerate((sides[0], latitude, sides[1], longitude), start=1):
        if value is not None:
            place[tag] = value
    cat().save(path, exif=exif)
    return path


def with_iptc(path: Path, **data_sets: bytes) -> Path:
    """A JPEG of the cat with IPTC data sets of record 2, as in `set_55=b"20230504"`."""
    records = b"".join(
        b"\x1c\x02" + bytes([int(name.removeprefix("set_"))]) + len(value).to_bytes(2, "big") + value
        for name, value in data_sets.items()
    )
    padded = records + bytes(len(records) % 2)
    block = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + len(records).to_bytes(4, "big") + padded
    cat().save(path)
    jpeg = path.read_bytes()
    path.write_bytes(jpeg[:2] + b"\xff\xed" + (len(block) + 2).to_bytes(2, "big") + block + jpeg[2:])
    return path


def facts_of(path: Path) -> dict[str, object]:
    return photo_facts(open_photo(path))


def test_exif_facts_are_kept(tmp_path: Path) -> None:
    path = with_exif(
        tmp_path / "exif.jpg",
        taken=datetime(2023, 5, 4, 12, 30),
        make="NIKON CORPORATION",
        camera="NIKON D750",
        lens="50mm f/1.8",
        latitude=-33.856784,
        longitude=151.215297,
    )
    facts = photo_facts(open_photo(path))
    assert facts == {
        "width": 160,
        "height": 106,
        "taken": "2023-05-04T12:30:00",
        "camera": "NIKON D750",
        "lens": "50mm f/1.8",
        "latitude": pytest.approx(-33.856784, abs=1e-6),
        "longitude": pytest.approx(151.215297, abs=1e-6),
    }


def test_the_maker_is_named_unless_the_model_names_it(tmp_path: Path) -> None:
    facts = [
        photo_facts(open_photo(with_exif(tmp_path / "a.jpg", make=make, camera=camera)))
        for make, camera in (("Canon", "Canon EOS R5"), ("Apple", "iPhone 15"), ("Apple", None), (None, "X100"))
    ]
    assert [fact["camera"] for fact in facts] == ["Canon EOS R5", "Apple iPhone 15", "Apple", "X100"]


def test_facts_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[306] = "0000:00:00 00:00:00"
    exif[271] = " \0"
    cat().save(tmp_path / "a.jpg", exif=exif)
    assert photo_facts(open_photo(tmp_path / "a.jpg")) == {"width": 160, "height": 106}


def test_a_broken_exif_block_costs_no_photo(tmp_path: Path) -> None:
    cat().save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + bytes(range(100)))
    image = open_photo(tmp_path / "a.jpg")
    assert photo_facts(image) == {"width": 160, "height": 106}
    assert upright_rgb(image).size == SIZE


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("2023:05:04 12:30:09", "2023-05-04T12:30:09"),
        ("2023/05/04 12:30:09", "2023-05-04T12:30:09"),
        ("2023-05-04 12:30:09", "2023-05-04T12:30:09"),
        ("2023.05.04 12.30.09", "2023-05-04T12:30:09"),
        ("2023-05-04T12:30:09.25+02:00", "2023-05-04T12:30:09"),
        ("2023-05-04T12:30:09Z", "2023-05-04T12:30:09"),
        ("2023:05:04 12:30", "2023-05-04T12:30:00"),
        ("2023:05:04 12:30:60", "2023-05-04T12:30:59"),
        ("2023:5:4 1:2:3", "2023-05-04T01:02:03"),
        ("2023:05:04 01:02:03 PM", "2023-05-04T13:02:03"),
        ("2023:05:04 24:00:00", "2023-05-04T00:00:00"),
        ("2023:05:04 99:00:00", "2023-05-04T00:00:00"),
        ("2023:05:04", "2023-05-04T00:00:00"),
        ("20230504", "2023-05-04T00:00:00"),
        ("20230504123009", "2023-05-04T12:30:09"),
        ("2023:02:30 12:30:09", None),
        ("0000:00:00 00:00:00", None),
        ("0001:01:01 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("2023", None),
        ("yesterday", None),
    ],
)
def test_a_date_is_known_in_whatever_way_it_is_written(written: str, taken: str | None, tmp_path: Path) -> None:
    assert facts_of(dated(tmp_path / "a.jpg", written)).get("taken") == taken


def test_a_date_is_exifs_else_xmps_else_iptcs_else_the_satellites_else_that_of_the_last_change(tmp_path: Path) -> None:
    path, exif = tmp_path / "a.jpg", Image.Exif()
    exif[ExifTags.Base.DateTime] = "2005:05:05 05:05:05"
    cat().save(path, exif=exif)
    assert facts_of(path)["taken"] == "2005-05-05T05:05:05"

    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSDateStamp], place[ExifTags.GPS.GPSTimeStamp] = "2004:04:04", (4.0, 4.0, 4.0)
    cat().save(path, exif=exif)
    assert facts_of(path)["taken"] == "2004-04-04T04:04:04"

    assert facts_of(with_iptc(path, set_55=b"20030303", set_60=b"030303+0100"))["taken"] == "2003-03-03T03:03:03"

    cat().save(path, exif=exif, xmp=xmp('photoshop:DateCreated="2002-02-02T02:02:02"'))
    assert facts_of(path)["taken"] == "2002-02-02T02:02:02"

    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2001:01:01 01:01:01"
    cat().save(path, exif=exif, xmp=xmp(exif_DateTimeOriginal="2002-02-02T02:02:02"))
    assert facts_of(path)["taken"] == "2001-01-01T01:01:01"


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "heic", "avif"])
def test_xmp_is_read_in_every_format_that_carries_it(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    packet = xmp(exif_DateTimeOriginal="2002-02-02T02:02:02")
    if suffix == "png":
        from PIL import PngImagePlugin

        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        cat().save(path, pnginfo=info)
    elif suffix == "tif":
        cat().save(path, tiffinfo={700: packet})
    else:
        cat().save(path, xmp=packet)
    assert facts_of(path)["taken"] == "2002-02-02T02:02:02"


NONE = IFDRational(0, 0)


@pytest.mark.parametrize(
    ("latitude", "longitude", "sides"),
    [
        ((52.0, 30.0, 0.0), (13.0, 24.0, 0.0), ("N", "E")),
        ((52.0, 30.0, NONE), (13.0, 24.0, NONE), ("N", "E")),
        ((52.0, 30.0), (13.0, 24.0), ("N", "E")),
        ((52.5,), (13.4,), ("N", "E")),
        ((52.0, 30.0, 0.0), (13.0, 24.0, 0.0), (None, None)),
    ],
)
def test_a_place_is_known_in_whatever_way_it_is_written(
    latitude: object, longitude: object, sides: tuple[object, object], tmp_path: Path
) -> None:
    facts = facts_of(placed(tmp_path / "a.jpg", latitude, longitude, sides=sides))
    assert (facts["latitude"], facts["longitude"]) == (52.5, 13.4)


@pytest.mark.parametrize(
    ("value", "side", "expected"),
    [
        ("52.5", None, 52.5),
        (b"52.5\0", b"S\0", -52.5),
        ("-52.5", None, -52.5),
        ("52,30.0S", None, -52.5),
        ("52,30,0N", None, 52.5),
        (52.5, "n", 52.5),
        ((-52.0, 30.0, 0.0), None, -52.5),
        ((-52.0, 30.0, 0.0), "S", -52.5),
        ("", None, None),
        ("somewhere", None, None),
        ((float("nan"), 1.0), "N", None),
        (None, "N", None),
    ],
)
def test_degrees_are_numbers_or_texts(value: object, side: object, expected: float | None) -> None:
    assert degrees(value, side) == expected


@pytest.mark.parametrize("sides", [("S", "W"), ("s", "w"), ("South", "West")])
def test_south_and_west_are_negative(sides: tuple[object, object], tmp_path: Path) -> None:
    facts = facts_of(placed(tmp_path / "a.jpg", (33.0, 51.0, 0.0), (151.0, 12.0, 0.0), sides=sides))
    assert (facts["latitude"], facts["longitude"]) == (-33.85, -151.2)


@pytest.mark.parametrize("latitude", [(1.0, 0.0, 0.0, 0.0), (100.0, 0.0, 0.0), (NONE, 1.0, 1.0)])
def test_a_place_that_is_none_is_left_out(latitude: object, tmp_path: Path) -> None:
    assert facts_of(placed(tmp_path / "a.jpg", latitude, (8.0, 0.0, 0.0))) == PLAIN


def test_zero_degrees_north_and_east_are_no_place(tmp_path: Path) -> None:
    assert facts_of(placed(tmp_path / "a.jpg", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))) == PLAIN


def test_xmp_and_iptc_tell_what_exif_does_not(tmp_path: Path) -> None:
    packet = xmp(
        'exif:GPSLatitude="52,30.0N" tiff:Model="X100"',
        dc_subject="<rdf:Bag><rdf:li>cat</rdf:li><rdf:li>sofa</rdf:li></rdf:Bag>",
        dc_description='<rdf:Alt><rdf:li xml:lang="x-default">Minka at home</rdf:li></rdf:Alt>',
        exif_GPSLongitude="13,24.0W",
    )
    cat().save(tmp_path / "a.jpg", xmp=packet)
    assert facts_of(tmp_path / "a.jpg") == PLAIN | {
        "camera": "X100",
        "latitude": 52.5,
        "longitude": -13.4,
        "description": "Minka at home",
        "keywords": ["cat", "sofa"],
    }
    facts = facts_of(with_iptc(tmp_path / "b.jpg", set_120=b"Minka \xfcberall", set_25=b"cat"))
    assert facts == PLAIN | {"description": "Minka überall", "keywords": ["cat"]}


def test_xmp_that_would_grow_or_is_broken_tells_nothing(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + xmp(dc_title="&b;").decode().partition("?>")[2]
    assert xmp_facts(bomb) == {}
    cat().save(tmp_path / "a.jpg", xmp=b"<x:xmpmeta>")
    assert facts_of(tmp_path / "a.jpg") == PLAIN
