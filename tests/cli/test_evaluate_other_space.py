import pytest

from devise.cli.app import main


def test_distil_needs_another_label_space(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "photos", "--distil"])
    assert stop.value.code == 2
    assert "--distil needs another label space: give --label-vectors or" in capsys.readouterr().err
