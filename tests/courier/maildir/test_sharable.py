from __future__ import annotations

from pathlib import Path

from courier.maildir import sharable


def test_definitions(maildir: Path, tmp_path: Path) -> None:
    """Comments, any white space; the system's file comes first; what is no nick is passed over."""
    (tmp_path / "maildirshared").write_text("# all\npub\t/srv/pub\n a.b /x\na/b /x\nbare\nz /\0\n")
    (maildir / sharable.NAME).write_text("pub /home/x\n  own   /srv/o w n # mine\n\nown /second\n")

    found = sharable.definitions(
        str(tmp_path / "maildirshared"), str(maildir / sharable.NAME), str(tmp_path / "none")
    )

    assert found == {"pub": "/srv/pub", "own": "/srv/o w n"}
