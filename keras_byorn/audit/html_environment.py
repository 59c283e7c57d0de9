"""The Jinja2 environment of the audit's page, which escapes all it prints."""

import base64
import hashlib

from keras_byorn.audit import html_numbers, html_text


def make_environment():
    """Makes the environment, with the filters that the templates use.

    Returns:
        `jinja2.Environment` that escapes all that it prints.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_byorn.audit", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (
        html_numbers.count,
        html_numbers.percent,
        html_numbers.score,
        html_numbers.mean,
        html_numbers.standing,
        html_numbers.surprise_view,
        html_text.ink,
        html_text.plain,
        html_text.untrusted,
        csp_hash,
    )
    for function in filters:
        environment.filters[function.__name__] = function
    return environment


def csp_hash(source):
    """Returns the name of an inline script in a content security policy.

    Args:
        source: string, the text of a script or a style.

    Returns:
        string, with its SHA-256 in base64.

    Reference:
        - [W3C, Content Security Policy](https://www.w3.org/TR/CSP3/)
    """
    digest = hashlib.sha256(str(source).encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
