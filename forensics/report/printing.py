"""A page as PDF, by an installed Chromium's own print: it draws pages as their readers see them, and brings its fonts.

The page is a file of ours without script or request (its Content-Security-Policy says so); the browser gets a profile
folder of its own, no network, and a time limit.
"""

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from forensics.common.errors import UsageError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
TIMEOUT_S = 120.0
OPTIONS = (
    "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-extensions", "--no-pdf-header-footer", "--proxy-server=127.0.0.1:9",
)  # fmt: skip


def find_browser() -> str:
    """The path of an installed browser that prints. Raises UsageError where there is none."""
    for name in BROWSERS:
        found = shutil.which(name)
        if found:
            return found
    raise UsageError(
        "--format pdf needs an installed Chromium or Chrome", "install chromium, or print the HTML page yourself"
    )


def print_to_pdf(page: str) -> bytes:
    """The PDF of a page's HTML. Raises UsageError where no browser is there or it does not print."""
    browser = find_browser()
    with TemporaryDirectory(prefix="forensics-print-") as name:
        folder = Path(name)
        source, target = folder / "page.html", folder / "page.pdf"
        source.write_text(page, encoding="utf-8")
        command = [
            browser,
            *OPTIONS,
            f"--user-data-dir={folder / 'profile'}",
            f"--print-to-pdf={target}",
            source.as_uri(),
        ]
        # As root, which containers are, Chromium refuses its own sandbox; the page is ours and runs nothing.
        for extra in ([], ["--no-sandbox"]):
            try:
                subprocess.run(
                    [*command[:1], *extra, *command[1:]], capture_output=True, timeout=TIMEOUT_S, check=False
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise UsageError(f"{browser} did not print: {error}", "print the HTML page yourself") from error
            if target.is_file() and target.stat().st_size:
                return target.read_bytes()
    raise UsageError(f"{browser} printed nothing", "print the HTML page yourself")
