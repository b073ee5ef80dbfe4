"""Progress on standard error, so that standard output stays data. Silent when quiet; plain lines when not a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from forensics.common.text import terminal_line

NAME_WIDTH = 34


class Bar:
    """A task under way: call it to advance it by a number of steps; `describe` says what it is at."""

    def __init__(
        self, advance: Callable[[int], None] = lambda _steps: None, describe: Callable[[str], None] = lambda _text: None
    ) -> None:
        self._advance, self.describe = advance, describe

    def __call__(self, steps: int) -> None:
        self._advance(steps)


class Progress:
    """Where a long task says how far it is."""

    def __init__(self, quiet: bool = False, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._quiet = quiet

    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Bar]:
        """A bar with the time left; plain lines where standard error is not a terminal."""
        if self._quiet or not self._console.is_terminal:
            self.say(f"{name} ..." if total is None else f"{name} ({total}) ...")
            yield Bar()
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with RichProgress(*columns, console=self._console, transient=True) as shown:
            task = shown.add_task(_fitted(name), total=total)
            yield Bar(
                lambda steps: shown.advance(task, steps), lambda text: shown.update(task, description=_fitted(text))
            )

    def say(self, line: str) -> None:
        """One line of news."""
        if not self._quiet:
            self._console.print(terminal_line(line), markup=False, highlight=False, soft_wrap=True)


def _fitted(text: str) -> str:
    """Exactly as wide as the bar's label, so that the bar does not move."""
    text = terminal_line(text)
    shown = text if len(text) <= NAME_WIDTH else f"…{text[1 - NAME_WIDTH :]}"
    return shown.ljust(NAME_WIDTH)
