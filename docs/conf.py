"""How the site is built; docs/build.py does it."""

import sys
from pathlib import Path

import minifw

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

from project_links import repository_options  # noqa: E402 - they lie in docs/_ext
from reference_uses import reference_context  # noqa: E402
from site_gallery import gallery_settings  # noqa: E402

project = "minifw"
author = "the authors of minifw"
copyright = "the authors of minifw; MIT licence"  # noqa: A001 - Sphinx's name
version = release = minifw.__version__

extensions = [
    "chinese_search",
    "docstring_formulas",
    "exercise_files",
    "flowchart",
    "katex_math",
    "listed_values",
    "myst_parser",
    "numpydoc",
    "project_links",
    "reference_uses",
    "site_docstrings",
    "site_links",
    "site_words",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_static", "gallery/*.py", "gallery/*.ipynb", "gallery/*.json"]
templates_path = ["_templates"]

# -- languages: English, and what docs/locale translates ---------------------------------------
language = "en"  # `-D language=zh_CN` for the other
locale_dirs = ["locale", "_ext/locale"]  # of the pages, and of the theme's own words
gettext_compact = False  # a .po for each page
gettext_uuid = False
gettext_location = False  # so that a moved line is no change of the .po
LANGUAGES = {"en": ("English", ""), "zh_CN": ("简体中文", "zh")}  # name, folder of the site
translations = [code for code in LANGUAGES if (DOCS / "locale" / code).is_dir()]

# -- pages -------------------------------------------------------------------------------------
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "tasklist"]
myst_enable_checkboxes = True  # of the path's progress list
myst_heading_anchors = 4
default_role = "py:obj"  # `name` in a docstring is a link, if there is such a name
smartquotes = False  # W' is the transpose

# -- reference ---------------------------------------------------------------------------------
autosummary_generate = True
autosummary_imported_members = False
autosummary_context = reference_context(DOCS)  # for the templates in _templates/autosummary
# Two files whose names differ by a capital are one file on some systems.
autosummary_filename_map = {
    "minifw.Summary": "minifw.Summary-class",
    "minifw.Trace": "minifw.Trace-class",
}
autodoc_typehints = "none"  # the sections of the docstrings say it, with shapes
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # the template lists them
numpydoc_xref_param_type = False

# -- gallery -----------------------------------------------------------------------------------
sphinx_gallery_conf = gallery_settings(DOCS)

# -- look --------------------------------------------------------------------------------------
html_theme = "furo"
html_favicon = "_static/favicon.svg"
html_title = f"minifw {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["progress.js"]
html_copy_source = False
html_show_sphinx = False
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_context = {"languages": LANGUAGES, "translations": translations}
FONTS = {
    "font-stack": (
        "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', "
        "'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif"
    ),
    "font-stack--monospace": "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace",
}
html_theme_options = {
    **repository_options((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8")),
    "light_css_variables": {
        **FONTS,
        "color-brand-primary": "#00598f",
        "color-brand-content": "#00649f",
        "color-brand-visited": "#6b4f9f",
    },
    "dark_css_variables": {
        **FONTS,
        "color-brand-primary": "#6cb8ea",
        "color-brand-content": "#6cb8ea",
        "color-brand-visited": "#b9a3e3",
    },
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
