"""Character sets: from the name a message declares to text (RFC 2978), and never an exception.

Python's own look-up imports a module for a name it has not seen and remembers it for ever, so only names
from a fixed list reach it. Codecs that are no character sets, or are slow on purpose-built input
(punycode is quadratic), are not on the list.
"""

from __future__ import annotations

from encodings.aliases import aliases

_NOT_CHARSETS = {
    *("base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"),
    *("idna", "punycode", "raw_unicode_escape", "unicode_escape", "undefined", "mbcs", "oem"),
}
_CODECS = {name: codec for name, codec in aliases.items() if codec not in _NOT_CHARSETS}
_CODECS |= {codec: codec for codec in _CODECS.values()}
_CODECS |= {
    name: name for name in ("cp737", "cp856", "cp874", "cp1006", "koi8_t", "koi8_u", "utf_8_sig")
}
_CODECS |= {
    "gb2312": "gb18030",  # what says gb2312 is often its superset
    "iso_8859_8_e": "iso8859_8",
    "iso_8859_8_i": "iso8859_8",
    "tis620": "cp874",
    "unicode_1_1_utf_7": "utf_7",
    "unicode_1_1_utf_8": "utf_8",
    "windows_874": "cp874",
    "x_gbk": "gbk",
    "x_mac_roman": "mac_roman",
    "x_sjis": "shift_jis",
}


def codec(name: str) -> str | None:
    """Return the name of Python's codec for a charset, or None if the charset is unknown."""
    return _CODECS.get(name.strip().lower().replace("-", "_").replace(" ", "_"))


def decode(data: bytes, name: str) -> str:
    """Decode bytes of the charset ``name``; what cannot be decoded becomes U+FFFD.

    ASCII that is not, and charsets nobody knows, are read as UTF-8.
    """
    found = codec(name)
    if found is None or found == "ascii":
        return guess(data) if found else data.decode("utf-8", "replace")
    try:
        return data.decode(found, "replace")
    except (UnicodeError, LookupError):  # utf-16 of odd length, a codec this Python lacks
        return data.decode("utf-8", "replace")


def guess(data: bytes) -> str:
    """Decode bytes that declare no charset: UTF-8 if they are, windows-1252 if not."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
