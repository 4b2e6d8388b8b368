"""Holds the contents and the metadata of the built packages against the source.

python .ci/check_packages.py SOURCE DIST
"""

import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

DESCRIBED = ("Name", "Version", "Summary", "License-Expression", "Requires-Python", "Keywords")
DOORS = ("c", "mpi", "onnx", "plot", "progress", "safetensors", "scipy", "sklearn")


MADE = {"__pycache__", "_build", "gallery", "generated"}  # by Python, and by a build of the site


def files_under(source: Path, *folders: str) -> set[str]:
    """Return what git would keep of these folders, as paths from the source."""
    found = (path for folder in folders for path in (source / folder).rglob("*"))
    return {
        path.relative_to(source).as_posix()
        for path in found
        if path.is_file() and not MADE & set(path.parts) and "_cache" not in str(path)
    }


def main() -> None:
    """Exit with all that is wrong."""
    source, dist = map(Path, sys.argv[1:])
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
    faults = []
    code = {name for name in names if not name.startswith(info)}
    expected = files_under(source, "minifw")
    if code != expected:
        faults.append(f"the wheel differs from minifw/ in {sorted(code ^ expected)}")
    if f"{info}/licenses/LICENSE" not in names or "minifw/py.typed" not in names:
        faults.append("the wheel lacks the licence or py.typed")
    faults += [f"the metadata lack {field}" for field in DESCRIBED if not metadata[field]]
    plain = [r for r in metadata.get_all("Requires-Dist", []) if "extra ==" not in r]
    if plain != ["numpy>=2.0"]:
        faults.append(f"the wheel requires {plain}, and not NumPy alone")
    extras = set(metadata.get_all("Provides-Extra", []))
    if not {*DOORS, "all", "docs", "examples", "test"} <= extras:
        faults.append(f"extras are missing: there are {sorted(extras)}")
    with tarfile.open(sdist) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames()}
    missing = files_under(source, "minifw", "tests", "examples", "docs") - packed
    missing |= {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md"} - packed
    missing |= {"conftest.py", "pyproject.toml"} - packed
    if missing:
        faults.append(f"the sdist lacks {sorted(missing)}")
    if faults:
        sys.exit("\n".join(faults))
    print(f"{wheel.name}: {len(code)} files; {sdist.name}: {len(packed)} files and folders")


if __name__ == "__main__":
    main()
