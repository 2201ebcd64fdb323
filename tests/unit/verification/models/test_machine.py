from __future__ import annotations

from verification.models.machine import LAYOUTS


def test_a_windows_path_is_converted_to_a_path_for_the_engine() -> None:
    layout = LAYOUTS["wine"]
    assert layout.as_engine("C:\\users\\x") == "/home/user/.wine/drive_c/users/x"
    assert layout.as_engine("/home/user") == "/home/user"


def test_a_file_of_the_suite_has_a_path_for_the_machines_programs() -> None:
    assert LAYOUTS["linux"].path("a.py") == "/opt/app/a.py"
    assert LAYOUTS["wine"].path("a.py") == "Z:\\opt\\app\\a.py"
