import sys
from pathlib import Path

import pytest

from tools.reprint import PAGES, differing_rows, main, table_commands

PAGE = """# Page
```sh
devise evaluate $DATA/a --candidates seen --markdown
```

| scorer | hit@1 |
| --- | ---: |
| fused | 11.0 |

```sh
devise evaluate $DATA/a --fast --markdown
devise compare a b
```
| other | 1 |
"""


def test_a_command_is_compared_with_its_own_tables():
    (found,) = table_commands(PAGE)
    command, text = found
    assert command == "devise evaluate $DATA/a --candidates seen --markdown"
    assert differing_rows(text, "words\n| scorer | hit@1 |\n| fused | 11.0 |\n") == []
    assert differing_rows(text, "| fused | 11.1 |\n| fused | 11.0 |") == ["| fused | 11.1 |"]
    assert differing_rows(text, "| other | 1 |") == ["| other | 1 |"]  # of the next command
    assert differing_rows(text, "an error") == ["no table was printed"]


@pytest.mark.parametrize(("page", "count"), list(zip(PAGES, (1, 5), strict=True)))
def test_the_pages_have_such_commands(page: str, count: int):
    assert len(list(table_commands(Path(page).read_text(encoding="utf-8")))) >= count


def test_a_command_that_fails_is_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["reprint", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        main(lambda command: "")
    assert stop.value.code == 1
    assert capsys.readouterr().out.count("no table was printed") >= 6
