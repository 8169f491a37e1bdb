"""The merge of settings files: what sysconftool does, and what it would have lost."""

from __future__ import annotations

import difflib
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, assume, given, settings

from courier import dist_merge, shell
from courier.dist_merge import HeaderNotFound, Merged
from tests.conftest import missing
from tests.courier import sysconftool_model as model

ROOT = Path(__file__).parents[2]


def lines(*several: str) -> bytes:
    """Lines, of which a vector has several in one, separated as in `a|b`."""
    return "".join(part + "\n" for line in several for part in line.split("|")).encode()


def merged(template: bytes, old: bytes | None, name: str = "etc/demo.dist") -> Merged:
    result = dist_merge.merge(template, old, name, force=True)
    assert result is not None
    return result


# --- Where sysconftool loses nothing, ours is the same -------------------------------------------

V1, V2 = "##VERSION: v1", "##VERSION: v2"
ANNOUNCED = "#|# DEFAULT SETTING from etc/demo.dist:"
PREVIOUS = "#|# Previous setting (inserted by sysconftool):|#"

# old, template, result: all without the version line
VECTORS = {
    "a setting carried over": (
        "##NAME: KEEP:0|#|# old description||KEEP=custom|",
        "##NAME: KEEP:0|#|# new description||KEEP=default|",
        f"##NAME: KEEP:0|#|# new description|{ANNOUNCED}|#|#KEEP=default|#||KEEP=custom|",
    ),
    "a setting that changed its meaning": (
        '##NAME: C:0|#|# desc||C="a b"|C2=x|',
        '##NAME: C:1|#|# desc of the new meaning||C="c d"|',
        f'##NAME: C:1|#|# desc of the new meaning|{PREVIOUS}|# |# C="a b"|# C2=x|#||C="c d"|',
    ),
    "a setting switched on by removing the hash": (
        "##NAME: A:0|#|# desc|#|A=1|",
        "##NAME: A:0|#|# desc|#|# A=1|",
        f"##NAME: A:0|#|# desc|#|# A=1|{ANNOUNCED}|#|A=1|",
    ),
    "a setting that wasn't there": (
        "##NAME: A:0|# a||A=1|",
        "##NAME: B:0|# b||B=1||##NAME: A:0|# a||A=2|",
        f"##NAME: B:0|# b||B=1||##NAME: A:0|# a|{ANNOUNCED}|#|#A=2|#||A=1|",
    ),
    "a section without text": (
        "##NAME: A:0|# a",
        "##NAME: A:0|# a||A=2|",
        "##NAME: A:0|# a||A=2|",
    ),
    "comments alone, and an empty line": (
        "##NAME: P:0|#|# nothing set|",
        "##NAME: P:0|#|# nothing set|",
        f"##NAME: P:0|#|# nothing set|{ANNOUNCED}|#|",
    ),
    "a changed section without text: the old one goes to the end": (
        "##NAME: A:0||A=1",
        "##NAME: A:1|# x",
        f"##NAME: A:1|# x|{PREVIOUS}|# |# A=1|#",
    ),
    "a changed section without text: the old one goes into the next": (
        "##NAME: A:0||A=1|##NAME: C:0||C=1",
        "##NAME: A:1|# x|##NAME: C:0|# c||C=2",
        f"##NAME: A:1|# x|##NAME: C:0|# c|{PREVIOUS}|# |# A=1|#|{ANNOUNCED}|#|#C=2||C=1",
    ),
    "the same section twice": (
        "##NAME: A:0||A=1||##NAME: A:0||A=2|",
        "##NAME: A:0||A=9",
        f"##NAME: A:0|{ANNOUNCED}|#|#A=9||A=1|||A=2|",
    ),
    "blanks in a marker, colons in a name": (
        "##NAME: FOO BAR : 1 x||A=1|##NAME:\ta:b:c||B=1",
        "##NAME: FOOBAR:1x||A=2|##NAME: a:b:c||B=2",
        f"##NAME: FOOBAR:1x|{ANNOUNCED}|#|#A=2||A=1|##NAME: a:b:c|{ANNOUNCED}|#|#B=2||B=1",
    ),
    "a marker without revision is a comment": (
        "##NAME: A:0|##NAME: B||A=1",
        "##NAME: A:0|##NAME: B||A=2",
        f"##NAME: A:0|##NAME: B|{ANNOUNCED}|#|#A=2||A=1",
    ),
}


@pytest.mark.parametrize("case", VECTORS)
def test_vector(case: str) -> None:
    """Byte for byte; the model of sysconftool agrees."""
    old, template, expected = VECTORS[case]

    result = merged(lines(V2, template), lines(V1, old))

    assert result.text == lines(V2, expected)
    assert model.merge(lines(V2, template), lines(V1, old), "etc/demo.dist") == (
        result.text,
        list(result.report),
    )


def test_suite_of_sysconftool() -> None:
    """The cases of its own test suite: install, merge by force, do nothing, two upgrades."""
    sections = "##NAME: one:1||ONE=one||##NAME: two:1|#|# TWO=two|||##NAME: three:1||THREE=three"
    name = "etc/demo.dist"
    first = lines("|##VERSION: 1|#|#", sections)
    by_hand = first.replace(b"# TWO=two\n\n\n", b"# TWO=two\n\nTWO=0\n\n")
    kept = (
        f"##NAME: one:1|{ANNOUNCED}|#|#ONE=one|#||ONE=one||"
        f"##NAME: two:1|#|# TWO=two|{ANNOUNCED}|#|#||TWO=0||"
        f"##NAME: three:1|{ANNOUNCED}|#|#THREE=three||THREE=three"
    )
    all_unchanged = ("one: unchanged", "two: unchanged", "three: unchanged")

    assert dist_merge.merge(first, None, name) == Merged(
        first, ("one: new", "two: new", "three: new")
    )
    assert dist_merge.merge(first, by_hand, name) is None
    forced = merged(first, by_hand)
    assert forced == Merged(lines("|##VERSION: 1|#|#", kept), all_unchanged)
    second = dist_merge.merge(first.replace(b"VERSION: 1", b"VERSION: 2"), forced.text, name)
    assert second == Merged(lines("|##VERSION: 2|#|#", kept), all_unchanged)
    third = dist_merge.merge(
        first.replace(b"VERSION: 1", b"VERSION: 3")
        .replace(b"one:1\n\nONE=one", b"one:2\n\nONE=two")
        .replace(b"TWO=two", b"TWO=three"),
        second.text,
        name,
    )
    assert third == Merged(
        lines(
            "|##VERSION: 3|#|#",
            f"##NAME: one:2|{PREVIOUS}|# |# ONE=one|#||ONE=two||"
            f"##NAME: two:1|#|# TWO=three|{ANNOUNCED}|#|#||TWO=0||"
            f"##NAME: three:1|{ANNOUNCED}|#|#THREE=three||THREE=three",
        ),
        ("one: UPDATED", "two: unchanged", "three: unchanged"),
    )


# --- What sysconftool loses is kept --------------------------------------------------------------


def kept(where: str, *several: str) -> str:
    quoted = "".join(f"# {line}|" for line in several)
    return f"#|# Kept from the old file, {where} (inserted by sysconftool):|#|{quoted}#"


# old, template, result, what is reported beside the template's sections
LOST_BY_SYSCONFTOOL = {
    "a second setting, after a comment": (
        "##NAME: T:0|#|# first||ONE=1||# second||TWO=2|",
        "##NAME: T:0|#|# first||ONE=10||# second||TWO=20|",
        f"##NAME: T:0|#|# first|{ANNOUNCED}|#|#ONE=10|#|# second|#|#TWO=20|#"
        "||ONE=1||# second||TWO=2|",
        (),
    ),
    "a default commented out below the empty line": (
        "##NAME: PORT:1|# desc||#PORT=143|PORT=1143|",
        "##NAME: PORT:1|# desc||PORT=143|",
        f"##NAME: PORT:1|# desc|{ANNOUNCED}|#|#PORT=143|#||#PORT=143|PORT=1143|",
        (),
    ),
    "more than one line of a setting that changed its meaning": (
        "##NAME: A:0||A=1|# and|B=2",
        "##NAME: A:1||A=0",
        f"##NAME: A:1|{PREVIOUS}|# |# A=1|# # and|# B=2|#||A=0",
        (),
    ),
    "the first of two previous settings": (
        "##NAME: A:0||A=1|##NAME: B:0||B=1|##NAME: C:0||C=1",
        "##NAME: A:1|# x|##NAME: B:1|# y|##NAME: C:0|# c||C=2",
        f"##NAME: A:1|# x|{PREVIOUS}|# |# A=1|#|##NAME: B:1|# y|##NAME: C:0|# c"
        f"|{PREVIOUS}|# |# B=1|#|{ANNOUNCED}|#|#C=2||C=1",
        (),
    ),
    "a section that is gone, and one that was invented": (
        "##NAME: GONE:0|#|# removed||GONE=yes||##NAME: A:0||A=1||##NAME: MY:0|# mine||MY=1|# x|Y=2",
        "##NAME: A:0||A=9",
        f"##NAME: A:0|{ANNOUNCED}|#|#A=9||A=1||"
        + kept("section GONE:0", "# removed", "", "GONE=yes")
        + "|"
        + kept("section MY:0", "# mine", "", "MY=1", "# x", "Y=2"),
        ("GONE: kept as a comment", "MY: kept as a comment"),
    ),
    "lines before the first section": (
        "EARLY=1|# why|ALSO=2|##NAME: A:0||A=1",
        "##NAME: A:0||A=9",
        f"##NAME: A:0|{ANNOUNCED}|#|#A=9||A=1|"
        + kept("its beginning", "EARLY=1", "# why", "ALSO=2"),
        ("(before the first section): kept as a comment",),
    ),
    "a remark among comments that are still the template's": (
        "##NAME: A:0|# desc|# raised for Joe|# more||A=1",
        "##NAME: A:0|# desc|# more||A=9",
        "##NAME: A:0|# desc|# more|"
        + kept("section A:0", "# raised for Joe")
        + f"|{ANNOUNCED}|#|#A=9||A=1",
        ("A: remarks kept",),
    ),
    "a remark at the end of a section": (
        "##NAME: A:0|# old||A=1||# raised for Joe|##NAME: B:0||B=1",
        "##NAME: A:0|# new||A=9||##NAME: B:0||B=9",
        f"##NAME: A:0|# new|{ANNOUNCED}|#|#A=9|#||A=1||# raised for Joe"
        f"|##NAME: B:0|{ANNOUNCED}|#|#B=9||B=1",
        (),
    ),
    "a remark in a section of an invented name that is false to Perl": (
        "##NAME: 0:0||A=1",
        "##NAME: B:0||B=9",
        "##NAME: B:0||B=9|" + kept("section 0:0", "A=1"),
        ("0: kept as a comment",),
    ),
    "the comments of an earlier merge": (
        f"##NAME: A:1|{PREVIOUS}|# |# A=1|#||A=2",
        "##NAME: A:2||A=3",
        f"##NAME: A:2|{PREVIOUS}|# |# A=1|#|{PREVIOUS}|# |# A=2|#||A=3",
        (),
    ),
    "a previous setting, its blanks taken off by an editor": (
        f"##NAME: A:1|{PREVIOUS}|#|# A=1|#||A=2",
        "##NAME: A:1||A=3",
        f"##NAME: A:1|{PREVIOUS}|# A=1|#|{ANNOUNCED}|#|#A=3||A=2",
        (),
    ),
    "a previous setting of a section that is gone": (
        f"##NAME: A:1|{PREVIOUS}|# A=1|#||A=2",
        "##NAME: B:0||B=3",
        "##NAME: B:0||B=3|" + kept("section A:0", "A=1") + "|" + kept("section A:1", "A=2"),
        ("A: kept as a comment",),
    ),
    "an own setting commented out below the default that a merge put there": (
        f"##NAME: A:0|# d|{ANNOUNCED}|#|#A=9|#A=8||A=7",
        "##NAME: A:0|# d||A=10",
        "##NAME: A:0|# d|" + kept("section A:0", "#A=8") + f"|{ANNOUNCED}|#|#A=10||A=7",
        ("A: remarks kept",),
    ),
}


@pytest.mark.parametrize("case", LOST_BY_SYSCONFTOOL)
def test_kept(case: str) -> None:
    """The whole result; merging it once more changes nothing, and sysconftool did lose."""
    old, template, expected, report = LOST_BY_SYSCONFTOOL[case]

    result = merged(lines(V2, template), lines(V1, old))

    assert result.text == lines(V2, expected)
    assert [line for line in result.report if line.split(": ")[1] not in OUTCOMES] == list(report)
    assert model.merge(lines(V2, template), lines(V1, old), "etc/demo.dist")[0] != result.text


OUTCOMES = ("unchanged", "UPDATED", "new")


def test_worked_example() -> None:
    """An example: sysconftool's result and report, with what it lost in place."""
    old = lines(
        "##VERSION: v1|#|# old header comment (user edited)",
        "##NAME: KEEP:0|#|# old description||KEEP=custom|",
        "##NAME: GONE:0|#|# removed in v2||GONE=yes|",
        "##NAME: TWOPART:0|#|# first variable||ONE=1||# second variable||TWO=2|",
        "##NAME: MYOWN:0|#|# added by hand||MYVAR=local|# trailing local comment|LOCAL2=lost",
    )
    template = lines(
        "##VERSION: v2|#|# new header",
        "##NAME: KEEP:0|#|# new description||KEEP=default|",
        "##NAME: TWOPART:0|#|# first variable||ONE=10||# second variable||TWO=20",
    )

    result = merged(template, old)

    assert result.text == lines(
        "##VERSION: v2|#|# new header",
        f"##NAME: KEEP:0|#|# new description|{ANNOUNCED}|#|#KEEP=default|#||KEEP=custom|",
        f"##NAME: TWOPART:0|#|# first variable|{ANNOUNCED}|#|#ONE=10|#|# second variable|#",
        "#TWO=20||ONE=1||# second variable||TWO=2|",
        kept("section GONE:0", "# removed in v2", "", "GONE=yes"),
        kept("section MYOWN:0", "# added by hand", "", "MYVAR=local",
             "# trailing local comment", "LOCAL2=lost"),
    )  # fmt: skip
    assert result.report == (
        "KEEP: unchanged",
        "TWOPART: unchanged",
        "GONE: kept as a comment",
        "MYOWN: kept as a comment",
    )


def test_file_without_version_line() -> None:
    """Its sections are merged; sysconftool leaves it in .bak and installs the defaults."""
    result = merged(lines(V2, "##NAME: A:0||A=9"), lines("##NAME: A:0||A=1"))

    assert result.text == lines(V2, f"##NAME: A:0|{ANNOUNCED}|#|#A=9||A=1")


def test_file_without_version_line_and_sections() -> None:
    result = merged(lines(V2, "##NAME: A:0||A=9"), lines("A=1|B=2"))

    assert result == Merged(
        lines(V2, "##NAME: A:0||A=9", kept("its beginning", "A=1", "B=2")),
        ("A: new", "(before the first section): kept as a comment"),
    )


def test_version_line_too_far_down() -> None:
    """It counts within 20 lines: a template without one is none, an old file has none."""
    early, late = lines("#|" * 19 + V1), lines("#|" * 20 + V1)

    assert dist_merge.merge(early, late, "x") == Merged(early, ())
    assert dist_merge.merge(early, early, "x") is None
    with pytest.raises(HeaderNotFound):
        dist_merge.merge(late, early, "x")


def test_lines_that_end_in_cr_lf() -> None:
    """The values are carried over without the CR; to sysconftool every section has changed."""
    template = lines(V2, "##NAME: A:0||A=9")

    result = merged(template, lines(V2, "##NAME: A:0||A=1").replace(b"\n", b"\r\n"))

    assert result == Merged(
        lines(V2, f"##NAME: A:0|{ANNOUNCED}|#|#A=9||A=1"),
        ("A: unchanged", "(line ends): CR LF became LF"),
    )


def test_last_line_without_line_feed() -> None:
    """sysconftool writes the next marker behind the value."""
    template = lines(V2, "##NAME: E:0||E=9|##NAME: A:0||A=9")

    result = merged(template, lines(V1, "##NAME: E:0||E=old").removesuffix(b"\n"))

    assert result.text == lines(V2, f"##NAME: E:0|{ANNOUNCED}|#|#E=9||E=old|##NAME: A:0||A=9")


@pytest.mark.parametrize("file", ["imapd", "imapd-ssl", "pop3d", "pop3d-ssl"])
def test_remarks_in_our_own_files(file: str) -> None:
    """A remark and a value in any section survive an upgrade that changes the version alone."""
    template = (ROOT / "conf" / f"{file}.dist").read_bytes()
    old = re.sub(rb"(##NAME: .*\n)", rb"\1# remark about it\n", template)
    old = re.sub(rb"\n(\w+)=.*", rb"\n\1=mine", old).replace(b"VERSION: ", b"VERSION: old ")

    result = merged(template, old, f"{file}.dist")
    again = merged(template.replace(b"VERSION: ", b"VERSION: newer "), result.text, f"{file}.dist")

    assert result.text.count(b"# # remark about it\n") == template.count(b"##NAME:")
    assert len(re.findall(rb"^\w+=mine$", result.text, re.MULTILINE)) == len(
        re.findall(rb"^\w+=.*$", template, re.MULTILINE)
    )
    assert again.text == result.text.replace(b"VERSION: ", b"VERSION: newer ")


# --- Whatever the files are ----------------------------------------------------------------------

NAMED = ["A", "B", "C", "D"]
NAMES = st.sampled_from(["A", "B", "C", "D", "0", "X Y", "a:b"])
COMMENTS = st.sampled_from(["#", "# one", "# two", "#A=1", "# A=1", "##", "#", "# DEFAULT"])
BODIES = st.one_of(
    st.sampled_from(["", "", "A=1", "B=2", "A=3", " # x", "\tB='4'", 'C="$A"']),
    st.from_regex(r"[A-D]=[a-z0-9]{0,3}", fullmatch=True),
)
MARKERS = st.builds(lambda name, revision: f"##NAME: {name}:{revision}", NAMES, st.integers(0, 1))
BLOCKS = st.sampled_from([f"{PREVIOUS}|# A=7|#", kept("section A:0", "A=6"),
                          kept("its beginning", "# x"), f"{ANNOUNCED}|#|#A=5"])  # fmt: skip
ANY_LINES = st.lists(st.one_of(MARKERS, COMMENTS, BODIES, BODIES), max_size=25)
FILES = st.builds(lambda body, version: lines(f"##VERSION: {version}", *body), ANY_LINES,
                  st.integers(1, 2))  # fmt: skip
MERGED_FILES = st.builds(
    lambda body: lines(V1, *body), st.lists(st.one_of(MARKERS, COMMENTS, BODIES, BLOCKS))
)
LEGACY_FILES = ANY_LINES.map(lambda body: lines(*body))


def says_something(line: bytes) -> bool:
    return bool(line.strip(b"# \t"))


def is_lost(line: bytes, result: Sequence[bytes]) -> bool:
    return line not in result and b"# " + line not in result


def losses(old: bytes, result: bytes) -> list[bytes]:
    """Lines of the old file that the result has neither as they were nor as a comment."""
    found = result.split(b"\n")
    return [
        line
        for line in old.split(b"\n")
        if not line.startswith(b"##") and says_something(line) and is_lost(line, found)
    ]


@st.composite
def orderly(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A template, and a file of an earlier version in which nobody wrote a line astray."""
    names = draw(st.lists(st.sampled_from(NAMED), min_size=1))
    words = draw(st.sampled_from(["About", "Formerly about"]))
    bodies = st.lists(BODIES, max_size=4)
    revisions = st.integers(0, 1)
    template, old = [V2, "#", "# New words."], [V1, "#", f"# {words}."]
    for name in names:
        template += [f"##NAME: {name}:{draw(revisions)}", "#", f"# About {name}.", *draw(bodies)]
    for name in draw(st.lists(st.sampled_from(names))):
        old += [f"##NAME: {name}:{draw(revisions)}", "#", f"# {words} {name}.", *draw(bodies)]
        if words == "About" and old[-1] == "":
            old += draw(st.sampled_from([[], [f"# About {name}.", ""], ["#", "#"]]))
    return lines(*template), lines(*old)


@pytest.mark.slow
@given(orderly())
def test_same_as_sysconftool_unless_it_loses(files: tuple[bytes, bytes]) -> None:
    """Ours gives the same file and the same report."""
    template, old = files
    text, report = model.merge(template, old, "etc/demo.dist")
    written = [line for line in old.split(b"\n") if line.strip() and not line.startswith(b"#")]
    found = text.split(b"\n")
    # It loses a previous setting if the next section with a body comes after another changed one.
    assume(all(
        found.count(line) + found.count(b"# " + line) >= written.count(line) for line in written
    ))  # fmt: skip
    assume(text.count(PREVIOUS.split("|")[1].encode()) == len(re.findall("UPDATED", str(report))))

    result = merged(template, old)

    assert (result.text, list(result.report)) == (text, report)


@pytest.mark.slow
@given(FILES, st.one_of(FILES, MERGED_FILES, LEGACY_FILES))
def test_no_setting_is_lost(template: bytes, old: bytes) -> None:
    """Every line that is no comment is in the result, as it was or as a comment."""
    result = merged(template, old)

    assert [line for line in losses(old, result.text) if not line.startswith(b"#")] == []


@st.composite
def edited(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A file as it was installed, and the same with remarks and settings put in anywhere."""
    names = draw(st.permutations(NAMED))
    installed = [V1, "#", "# Settings."]
    for name in names:
        installed += [f"##NAME: {name}:0", "#", f"# About {name}.", "", f"{name}=1", ""]
    by_hand = list(installed)
    for line in draw(st.lists(st.sampled_from(["# mine", "#A=2", "A=3", "E=4", "#", ""]))):
        by_hand.insert(draw(st.integers(1, len(by_hand))), line)
    return lines(*installed), lines(*by_hand)


@pytest.mark.slow
@given(edited())
def test_no_remark_is_lost_beside_unchanged_comments(files: tuple[bytes, bytes]) -> None:
    """As long as a section's comments are the template's, everything that was added is kept."""
    installed, by_hand = files

    result = merged(installed.replace(b"v1", b"v2"), by_hand)
    again = merged(installed.replace(b"v1", b"v3"), result.text)

    assert losses(by_hand, result.text) == []
    assert again.text == result.text.replace(b"v2", b"v3")


def has_each_section_once(template: bytes) -> bool:
    names = [name.replace(b" ", b"") for name in re.findall(rb"##NAME:(.*):", template)]
    return len(names) == len(set(names))


@pytest.mark.slow
@given(FILES.filter(has_each_section_once), st.one_of(FILES, MERGED_FILES, LEGACY_FILES))
def test_merging_again_changes_nothing(template: bytes, old: bytes) -> None:
    """Nor by force, from the second time on: the first may find defaults it has just installed."""
    first = merged(template, old)
    second = merged(template, first.text)
    third = merged(template, second.text)

    assert dist_merge.merge(template, first.text, "etc/demo.dist") is None
    assert third.text == second.text


VALUES = st.dictionaries(st.sampled_from(NAMED), st.sampled_from(["1", "'x y'", '"$A-"', ""]))


def settings_file(version: int, values: dict[str, str], revisions: dict[str, int]) -> bytes:
    return lines(
        f"##VERSION: {version}",
        *(
            f"##NAME: {name}:{revisions[name]}|#|# About {name}, version {version}.||"
            + (f"{name}={values[name]}|" if name in values else "")
            for name in NAMED
        ),
    )


REVISIONS = st.fixed_dictionaries({name: st.integers(0, 1) for name in NAMED})


@pytest.mark.slow
@given(VALUES, VALUES, REVISIONS)
def test_values_read_again(
    old: dict[str, str], new: dict[str, str], revisions: dict[str, int]
) -> None:
    """Each section of the same revision gives the administrator's value, each other the new one,
    and a setting that was taken out stays out."""
    template = settings_file(2, new, revisions)

    result = merged(template, settings_file(1, old, dict.fromkeys(NAMED, 0)))

    expected = {name: (old, new)[revisions[name]].get(name) for name in NAMED}
    assignments = "".join(
        f"{name}={expected[name]}\n" for name in NAMED if expected[name] is not None
    )
    assert values_of(result.text) == values_of(assignments.encode())


def values_of(text: bytes) -> dict[str, str]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        return {name: one.value for name, one in shell.read([Path(file.name)]).items()}


# --- The real one --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Path:
    """Debian's sysconftool, which is a Perl program."""
    for path in (
        ROOT / ".tools/sysconftool/usr/share/sysconftool",
        Path("/usr/share/sysconftool"),
    ):
        if (path / "sysconftool").exists():
            return path / "sysconftool"
    missing("Debian's sysconftool")
    raise AssertionError


def by_real(real: Path, directory: Path, template: bytes, old: bytes) -> tuple[bytes, list[str]]:
    (directory / "etc").mkdir(exist_ok=True)
    (directory / "etc/demo.dist").write_bytes(template)
    (directory / "etc/demo").write_bytes(old)
    run = subprocess.run(
        ["perl", str(real), "-f", "etc/demo.dist"], cwd=directory, capture_output=True, check=True
    )
    report = [line.removeprefix("  ") for line in run.stdout.decode().splitlines()[1:]]
    return (directory / "etc/demo").read_bytes(), report


@pytest.mark.courier
@pytest.mark.parametrize("case", VECTORS)
def test_vector_with_the_real_one(real: Path, tmp_path: Path, case: str) -> None:
    old, template, _ = VECTORS[case]

    result = merged(lines(V2, template), lines(V1, old))

    assert by_real(real, tmp_path, lines(V2, template), lines(V1, old)) == (
        result.text,
        list(result.report),
    )


@pytest.mark.slow
@pytest.mark.courier
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(template=FILES, old=st.one_of(FILES, MERGED_FILES, LEGACY_FILES))
def test_model_is_the_real_one(real: Path, tmp_path: Path, template: bytes, old: bytes) -> None:
    """The model that ours is compared with does what the real one does."""
    assert model.merge(template, old, "etc/demo.dist") == by_real(real, tmp_path, template, old)


@pytest.mark.courier
def test_real_one_reads_ours(real: Path, tmp_path: Path) -> None:
    """What we have merged, Courier's tool carries on: an administrator may go back."""
    template = lines(V2, "##NAME: A:0|# a||A=9||##NAME: B:1|# b||B=9")
    ours = merged(template, lines(V1, "##NAME: A:0|# a||A=1||##NAME: B:0||B=1|##NAME: X:0||X=1"))

    text, report = by_real(real, tmp_path, template.replace(b"v2", b"v3"), ours.text)

    assert report == ["A: unchanged", "B: unchanged"]
    assert values_of(text) == {"A": "1", "B": "9"}


COURIERS_OWN = ROOT / ".tools/courier/etc/courier"


@pytest.mark.courier
@pytest.mark.parametrize("file", ["imapd", "imapd-ssl", "pop3d", "pop3d-ssl"])
def test_upgrade_from_courier(real: Path, tmp_path: Path, file: str) -> None:
    """Debian's files, with a changed value, put into ours, as the real one does it.

    All that ours has more are comments of Courier's below a setting: a heading of the next ones,
    examples. They might as well be an administrator's.
    """
    if not COURIERS_OWN.exists():
        missing("Debian's courier-imap, see `make tools`")
    old = (COURIERS_OWN / file).read_bytes().replace(b"\nMAXDAEMONS=40", b"\nMAXDAEMONS=400")
    template = (ROOT / "conf" / f"{file}.dist").read_bytes()

    result = merged(template, old)
    text, report = by_real(real, tmp_path, template, old)

    assert list(result.report) == report
    marked = difflib.ndiff(text.decode().split("\n"), result.text.decode().split("\n"))
    different = [line for line in marked if line[0] in "+-"]
    assert all(re.fullmatch(r"\+ (#.*)?", line) for line in different)
    assert len(different) <= 12
    assert {line.split(": ")[0] for line in report if line.endswith("UPDATED")} <= {"TCPDOPTS"}
    taken, before = values_of(result.text), values_of(old)
    assert all(taken[name] == before[name] for name in before if name != "TCPDOPTS")
