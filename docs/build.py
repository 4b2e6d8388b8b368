"""Builds the site into docs/_build/html, without a warning, and checks its links.

    python docs/build.py
    python docs/build.py --fresh

It needs the extra minifw[docs]. English comes first, then each language of docs/locale, into a
folder of its own ("zh"). The check follows every link and anchor within the site, and refuses
whatever a browser would load from elsewhere: the site can be read without a network.
"""

import argparse
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

DOCS = Path(__file__).resolve().parent
OUT = DOCS / "_build" / "html"
FOLDERS = {"zh_CN": "zh"}  # of the site, by the folder of docs/locale; conf.py has their names
LOADING = {"audio", "embed", "iframe", "img", "link", "object", "script", "source", "video"}
NOT_LOADED = {"alternate", "canonical", "license", "next", "prev", "search"}  # rel of a <link>
_CSS_URL = re.compile(r"url\(\s*['\"]?(?!data:)([^'\")]+)")


class Page(HTMLParser):
    """What a page of HTML refers to, and what can be referred to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what one tag says."""
        values = {name: value for name, value in attrs if value}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        loads = tag in LOADING and values.get("rel") not in NOT_LOADED
        for name in ("href", "src", "data"):
            if name in values:
                (self.loads if loads else self.links).append(values[name])


def fault_of_link(link: str, path: Path, pages: dict[Path, Page]) -> str | None:
    """Return what is wrong with a link of the page at `path` within the site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        return f"there is no {link}"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
        return f"there is no anchor {link}"
    return None


def is_elsewhere(link: str) -> bool:
    """Return whether a browser needs a network for it."""
    parts = urlsplit(link)
    return parts.scheme != "data" and bool(parts.scheme or parts.netloc)


def faults_of(out: Path) -> list[str]:
    """Return a line for every link that leads nowhere, and every load from a network."""
    pages = {path: Page(path) for path in sorted(out.rglob("*.html"))}
    faults = []
    for path, page in pages.items():
        where = path.relative_to(out)
        faults += [f"{where} loads {link}" for link in page.loads if is_elsewhere(link)]
        found = (fault_of_link(link, path, pages) for link in page.links + page.loads)
        faults += [f"{where}: {fault}" for fault in found if fault]
    for path in sorted(out.rglob("*.css")):
        where = path.relative_to(out)
        for url in _CSS_URL.findall(path.read_text(encoding="utf-8")):
            fault = f"it loads {url}" if is_elsewhere(url) else fault_of_link(url, path, {})
            faults += [f"{where}: {fault}"] if fault else []
    return faults


def build(language: str, out: Path) -> None:
    """Run Sphinx; a warning is an error."""
    cache = DOCS / "_build" / "doctrees" / language
    sphinx = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html"]
    sphinx += ["-D", f"language={language}", "-d", str(cache), str(DOCS), str(out)]
    result = subprocess.run(sphinx, check=False)
    if result.returncode:
        sys.exit(f"The site was not built: see above ({language})")


def main() -> None:
    """Build each language, then check all."""
    parser = argparse.ArgumentParser(description="Build the site, and check its links.")
    parser.add_argument("--fresh", action="store_true", help="run the examples again, too")
    fresh = parser.parse_args().fresh
    # A page of the last build would be found again, and a name that is new would not.
    made = [OUT, DOCS / "reference" / "generated"]
    for old in made + [DOCS / "_build", DOCS / "gallery"] * fresh:
        shutil.rmtree(old, ignore_errors=True)
    build("en", OUT)
    for language, folder in FOLDERS.items():
        if (DOCS / "locale" / language).is_dir():
            build(language, OUT / folder)
    faults = faults_of(OUT)
    if faults:
        sys.exit("\n".join(faults))
    pages = len(list(OUT.rglob("*.html")))
    print(f"{OUT / 'index.html'}: {pages} pages, every link within them leads somewhere")


if __name__ == "__main__":
    main()
