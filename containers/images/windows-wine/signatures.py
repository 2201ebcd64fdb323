"""Check that every Windows program in a folder bears its publisher's Authenticode signature.

Run while an image is built: ``signatures.py ROOTS PROGRAMS FOLDER PUBLISHER...``. ROOTS is a PEM
file with many certificates; only those pinned here are trusted. PROGRAMS lists the programs that
must be in the folder, one a line: one that is missing has no signature that could be wrong, and one
too many may well have a good one. It stops at nothing and tells every fault.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# SHA-256 of the root certificates, in DER: Microsoft publishes these as its Trusted Root Program.
PINNED = {
    "df545bf919a2439c36983b54cdfc903dfa4f37d3996d8d84b4c31eec6f3c163e": "Microsoft Root 2010",
    "847df6a78497943f27fc72eb93f9a637320a02b561d0a91b09e87a7807ed7c61": "Microsoft Root 2011",
    "5367f20c7ade0e2bca790915056d086b720c33c1fa2a2661acf787e3292e1270": "Microsoft Identity 2020",
    "552f7bdcf1a7af9e6ce672017f4f12abf77240c78e761ac203d1d9d20ac89988": "DigiCert Trusted Root G4",
}
PUBLISHERS = {
    "python": "Python Software Foundation",
    "microsoft": "Microsoft Corporation",
}
# What CPython's installer brings of Microsoft's.
_MICROSOFTS = re.compile(r"vcruntime140(_1)?\.dll", re.IGNORECASE)
_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_SIGNERS = re.compile(r"Signer's certificate:\s+-+\s+Signer #0:\s+Subject: (.*)")


def pinned_roots(bundle: str) -> list[str]:
    """Return the pinned certificates of a PEM bundle; a missing one is an error."""
    found = {}
    for pem in _CERTIFICATE.findall(bundle):
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
        if digest in PINNED:
            found[digest] = pem
    if missing := [name for digest, name in PINNED.items() if digest not in found]:
        raise ValueError(f"the bundle of roots lacks {', '.join(missing)}")
    return list(found.values())


def programs(folder: Path) -> Iterator[Path]:
    """Yield every file that Windows could load or run: those that begin as its programs do."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                if file.read(2) == b"MZ":
                    yield path


def strays(found: set[str], listed: str) -> Iterator[str]:
    """Yield a fault for each program that is missing, or that is there and is not ``listed``."""
    expected = set(listed.split())
    for name in sorted(expected - found):
        yield f"{name}: it is missing"
    for name in sorted(found - expected):
        yield f"{name}: it is not one of the {len(expected)} programs expected here"


def publisher(name: str, expected: tuple[str, ...]) -> str:
    """Return the organisation that must have signed the file of this name."""
    if "microsoft" in expected and _MICROSOFTS.fullmatch(name):
        return PUBLISHERS["microsoft"]
    return PUBLISHERS[expected[0]]


def fault(output: str, code: int, organisation: str) -> str | None:
    """Return what is wrong with a file, from what osslsigncode told of it, or None."""
    if "MISMATCH" in output:
        return "it was changed after it was signed"
    signers = _SIGNERS.findall(output)
    if not signers:
        return "it bears no signature"
    for signer in signers:
        if f"/O={organisation}/" not in signer:
            return f"it is signed by {signer}, not by {organisation}"
    if code or "\nSucceeded" not in output:
        told = [line for line in output.splitlines() if "rror" in line]
        return f"its signature does not hold: {' | '.join(told)[:300] or output[-200:]}"
    # A signature with a time stamp holds after its certificate expired; without one it would not.
    if output.count("Timestamp Server Signature verification: ok") < len(signers):
        return "its signature bears no time stamp"
    return None


def check(path: Path, roots: Path, organisation: str) -> str | None:
    """Return what is wrong with the signature of one file, or None."""
    # There is no network while an image is built, so revocation is not asked for; the files are
    # pinned by hash besides.
    command = ["osslsigncode", "verify", "-ignore-crl"]
    command += ["-CAfile", str(roots), "-TSA-CAfile", str(roots), "-in", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return fault(f"{told.stdout}\n{told.stderr}", told.returncode, organisation)


def main(arguments: list[str]) -> int:
    """Check a folder; print every fault and return 1 if there is one."""
    bundle, listed, folder, *expected = arguments
    found = {str(path.relative_to(folder)): path for path in programs(Path(folder))}
    faults = list(strays(set(found), Path(listed).read_text("utf-8")))
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as roots:
        roots.write("\n".join(pinned_roots(Path(bundle).read_text("utf-8"))) + "\n")
        roots.flush()
        for name, path in found.items():
            wanted = publisher(path.name, tuple(expected))
            if wrong := check(path, Path(roots.name), wanted):
                faults.append(f"{name}: {wrong}")
    for line in faults:
        print(f"signature: {line}", file=sys.stderr)
    print(f"{len(found)} signatures checked, {len(faults)} faults")
    return 1 if faults or not found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
