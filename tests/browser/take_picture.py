"""Write docs/dashboard.png: the fleet page over a drawn fleet, as Chromium shows it. `make picture` runs it."""

from pathlib import Path
from tempfile import TemporaryDirectory

from drawn_fleet import Fleet
from looking import IN_SIGHT, LAST, chromium, served

PICTURE = Path(__file__).parents[2] / "docs" / "dashboard.png"

if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        home = Path(folder)
        Fleet.drawn([f"10.0.{place // 20}.{place % 20 + 10}" for place in range(60)], LAST).write(home, issues=2)
        with served(home) as url, chromium() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 640})
            page.goto(f"{url}/dashboard/fleet")
            page.wait_for_selector(IN_SIGHT)
            page.wait_for_load_state("networkidle")
            page.screenshot(path=PICTURE)
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")
