from pathlib import Path

import pytest

from tools.reprint import PAGES, differing_rows, table_commands

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
