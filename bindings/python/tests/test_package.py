"""What is installed: the version, the metadata, the files."""

import importlib.metadata
import sys
from pathlib import Path

import pytest

import quiverdb


def test_one_version_in_the_library_the_package_and_its_metadata():
    assert quiverdb.version() == quiverdb.__version__ == importlib.metadata.version("quiverdb")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = quiverdb.nonsense


def test_the_metadata_says_what_an_index_shows():
    metadata = importlib.metadata.metadata("quiverdb")
    assert metadata["Summary"]
    assert metadata["License-Expression"] == "MIT"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Requires-Python"] == ">=3.13"
    assert metadata.get_all("Requires-Dist") == ["cffi>=2.0.0"]
    assert metadata.get_all("Classifier")
    assert "# quiverdb" in metadata.get_payload()


def test_the_wheel_holds_the_package_its_metadata_and_each_library_once():
    files = [Path(file) for file in importlib.metadata.files("quiverdb") or []]
    assert {file.parts[0] for file in files} == {
        "quiverdb",
        f"quiverdb-{quiverdb.__version__}.dist-info",
    }
    suffix = ".dll" if sys.platform == "win32" else ".so"
    assert sorted(file.name for file in files if "_libs" in file.parts) == [
        f"libquiver{suffix}",
        f"libquiver_c{suffix}",
    ]


def test_the_package_is_typed():
    assert (Path(quiverdb.__file__).parent / "py.typed").is_file()
