import pytest

from devise.cli.app import main


@pytest.mark.parametrize("arguments", [["--label-policy", "first-term"], ["--distil"]])
def test_options_that_need_label_vectors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "photos", *arguments])
    assert stop.value.code == 2
    assert "--label-policy and --distil are for --label-vectors: give it too" in capsys.readouterr().err
