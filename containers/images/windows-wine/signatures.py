"""Check that each Windows program in a folder has an Authenticode signature of its publisher.

Runs during the build of an image: ``signatures.py ROOTS PROGRAMS FOLDER PUBLISHER...``.

- ROOTS is a PEM file with root certificates. Only those of them that `PINNED` lists are trusted.
- PROGRAMS is a file with the names of the programs in the folder, one per line. A missing program
  and an additional program are faults.
- PUBLISHER is a key of PUBLISHERS. Names after the first one are additional publishers.

The script checks all programs and prints all faults.
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

# SHA-256 of the root certificates in DER. They are in Microsoft's Trusted Root Program.
PINNED = {
    "df545bf919a2439c36983b54cdfc903dfa4f37d3996d8d84b4c31eec6f3c163e": "Microsoft Root 2010",
    "847df6a78497943f27fc72eb93f9a637320a02b561d0a91b09e87a7807ed7c61": "Microsoft Root 2011",
    "5367f20c7ade0e2bca790915056d086b720c33c1fa2a2661acf787e3292e1270": "Microsoft Identity 2020",
    "552f7bdcf1a7af9e6ce672017f4f12abf77240c78e761ac203d1d9d20ac89988": "DigiCert Trusted Root G4",
    "3e9099b5015e8f486c00bcea9d111ee721faba355a89bcf1df69561e3dc6325c": "DigiCert Assured ID Root",
}
# Programs with a time stamp of SHA-1, which osslsigncode cannot check: the time of the stamp
# (seconds since 1970) by the SHA-256 of the program. The signature must be valid at this time.
OLD_TIME_STAMPS = {
    # libffi-7.dll of CPython 3.9 and 3.10: 2019-11-13 22:49:47 UTC
    "f60dd9f2fcbd495674dfc1555effb710eb081fc7d4cae5fa58c438ab50405081": 1573685387,
}
PUBLISHERS = {
    "python": "Python Software Foundation",
    "microsoft": "Microsoft Corporation",
}
# The libraries of Microsoft in CPython's installer.
_MICROSOFT_LIBRARIES = re.compile(r"vcruntime140(_1)?\.dll", re.IGNORECASE)
_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_SIGNERS = re.compile(r"Signer's certificate:\s+-+\s+Signer #0:\s+Subject: (.*)")


def pinned_roots(bundle: str) -> list[str]:
    """Return the pinned certificates of a PEM bundle.

    Raises:
        ValueError: the bundle does not have all of them.
    """
    roots = {}
    for pem in _CERTIFICATE.findall(bundle):
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
        if digest in PINNED:
            roots[digest] = pem
    if missing := [name for digest, name in PINNED.items() if digest not in roots]:
        raise ValueError(f"the bundle does not have these roots: {', '.join(missing)}")
    return list(roots.values())


def programs(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder that Windows can load or run. They start with ``MZ``."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                if file.read(2) == b"MZ":
                    yield path


def list_faults(names: set[str], program_list: str) -> Iterator[str]:
    """Yield a fault for each missing program and for each program that is not in the list."""
    expected = set(program_list.split())
    for name in sorted(expected - names):
        yield f"{name}: missing"
    for name in sorted(names - expected):
        yield f"{name}: not in the list of {len(expected)} programs"


def publisher(name: str, expected: tuple[str, ...]) -> str:
    """Return the organisation that must have signed the file with this name."""
    if "microsoft" in expected and _MICROSOFT_LIBRARIES.fullmatch(name):
        return PUBLISHERS["microsoft"]
    return PUBLISHERS[expected[0]]


def fault(output: str, code: int, organisation: str, *, stamped: bool = True) -> str | None:
    """Return the fault that osslsigncode reports for a file, or None.

    With ``stamped``, osslsigncode also checked the time stamp.
    """
    if "MISMATCH" in output:
        return "changed after it was signed"
    signers = _SIGNERS.findall(output)
    if not signers:
        return "no signature"
    for signer in signers:
        if f"/O={organisation}/" not in signer:
            return f"signed by {signer}, not by {organisation}"
    if code or "\nSucceeded" not in output:
        errors = [line for line in output.splitlines() if "rror" in line]
        return f"invalid signature: {' | '.join(errors)[:300] or output[-200:]}"
    # Without a time stamp, a signature is invalid after its certificate expires.
    if stamped and output.count("Timestamp Server Signature verification: ok") < len(signers):
        return "signature without a time stamp"
    return None


def check(path: Path, roots: Path, organisation: str) -> str | None:
    """Return the fault of the signature of a file, or None."""
    # Revocation is not checked, because the build of an image has no network. The files also have
    # a pinned hash.
    command = ["osslsigncode", "verify", "-ignore-crl"]
    command += ["-CAfile", str(roots), "-TSA-CAfile", str(roots), "-in", str(path)]
    time = OLD_TIME_STAMPS.get(hashlib.sha256(path.read_bytes()).hexdigest())
    if time:
        command += ["-ignore-timestamp", "-time", str(time)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    output = f"{process.stdout}\n{process.stderr}"
    return fault(output, process.returncode, organisation, stamped=not time)


def main(arguments: list[str]) -> int:
    """Check a folder and print all faults. Return 1 if there are faults or no programs."""
    bundle, program_list, folder, *publishers = arguments
    paths = {str(path.relative_to(folder)): path for path in programs(Path(folder))}
    faults = list(list_faults(set(paths), Path(program_list).read_text("utf-8")))
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as roots:
        roots.write("\n".join(pinned_roots(Path(bundle).read_text("utf-8"))) + "\n")
        roots.flush()
        for name, path in paths.items():
            organisation = publisher(path.name, tuple(publishers))
            if signature_fault := check(path, Path(roots.name), organisation):
                faults.append(f"{name}: {signature_fault}")
    for line in faults:
        print(f"signature: {line}", file=sys.stderr)
    print(f"{len(paths)} signatures checked, {len(faults)} faults")
    return 1 if faults or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
