"""How long until the fleet page of 1,000 servers by 96 hours is painted.

`PYTHONPATH=tests python tests/browser/time_fleet.py`
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from drawn_fleet import thousand
from looking import IN_SIGHT, LAST, chromium, served

PAINTED = "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"

if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        home = Path(folder)
        thousand(LAST).write(home, issues=1)
        with served(home) as url, chromium() as browser:
            for load in ("first", "second", "third"):
                page = browser.new_page()
                page.goto(f"{url}/dashboard/fleet")
                page.wait_for_selector(IN_SIGHT)
                print(f"{load} load: {page.evaluate(PAINTED) / 1000:.2f} s")
                page.close()
