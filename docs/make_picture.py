"""Take docs/dashboard.png: the fleet page over a home, as Chromium shows it. `make picture` runs it."""

import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).resolve().parent / "dashboard.png"
CHOSEN = {"past": 48}
SIZE = {"width": 1360, "height": 700}


def main(home: str) -> None:
    """Serve the home on a free port, look at it, and stop."""
    command = [sys.executable, "-m", "serverload", "serve", "--home", home, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
        assert service.stderr is not None
        address = service.stderr.readline().split()[-1]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport=SIZE)
            page.goto(f"{address}/dashboard/fleet?{urlencode(CHOSEN)}")
            page.wait_for_selector(".grid .body [role=row]:not([hidden])")
            page.wait_for_load_state("networkidle")
            page.screenshot(path=PICTURE)
            browser.close()
        service.terminate()
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
