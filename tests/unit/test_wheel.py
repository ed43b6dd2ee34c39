"""What the wheel brings beside its modules: whoever has installed it has no checkout."""

import re
import tomllib

from deploy_files import ROOT


def test_documents_that_messages_point_to_come_with_the_wheel() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    modules = [path for package in build["packages"] for path in (ROOT / package).rglob("*.py")]
    named = {name for path in modules for name in re.findall(r"docs/\w+\.md", path.read_text())}
    assert len(named) > 1
    assert named <= set(build["shared-data"])
    for source, target in build["shared-data"].items():
        assert (ROOT / source).is_file()
        assert target == f"share/doc/serverload/{source}"
