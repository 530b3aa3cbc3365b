"""Door: Panel's page as the browser is to trust it: what may run there, and by which word.

Scripts come from our own server, or stand on the page with a nonce that no other page has. The
template writes a mark in its place that is this process's secret, so that nothing which got onto a
page by other ways can bear it; `trusted` puts a nonce there as the answer leaves.
"""

import re
import secrets

from jinja2 import Environment, Template

_NONCE_BYTES = 18
MARK = secrets.token_urlsafe(_NONCE_BYTES).encode()

# Bokeh's styles are set by scripts, in shadow roots that no nonce reaches. The page's program is a
# module that Panel imports from a blob.
_POLICY = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' blob:; worker-src 'self' blob:; frame-src 'none'; form-action 'self'"
)

# Panel's own has a spinner and watches sockets besides: both are what the page does by itself.
_PAGE = """{% from macros import embed %}<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ title | e }}</title>
<link rel="icon" type="image/png" sizes="32x32" href="{{ dist_url }}images/favicon.ico">
<style>html, body { display: flow-root; box-sizing: border-box; height: 100%; margin: 0; }</style>
{{ bokeh_css if bokeh_css }}
{{ bokeh_js | marked if bokeh_js }}
</head>
<body>
{% for doc in docs %}{{ embed(doc) if doc.elementid }}
{% for root in doc.roots %}{{ embed(root) }}{% endfor %}{% endfor %}
{{ plot_script | marked }}
</body>
</html>
"""


def _marked(html: str) -> str:
    """Bokeh's own script tags, with the mark; what is data among them is escaped."""
    return re.sub(r"<script(?=[\s>])", f'<script nonce="{MARK.decode()}"', html)


def template() -> Template:
    """Of a page whose scripts bear the mark."""
    environment = Environment(autoescape=False, trim_blocks=True)  # noqa: S701 (Bokeh's HTML)
    environment.filters["marked"] = _marked
    return environment.from_string(_PAGE)


def trusted(page: bytes) -> tuple[bytes, str]:
    """The page with a nonce of its own, as long as the mark, and the policy that names it."""
    nonce = secrets.token_urlsafe(_NONCE_BYTES)
    return page.replace(MARK, nonce.encode()), _POLICY.format(nonce=nonce)
