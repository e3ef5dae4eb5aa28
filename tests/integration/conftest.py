from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # Typer 0.20 names two functions that click 8.5 wants to be rid of; later imports find the module loaded.
    warnings.filterwarnings("ignore", category=DeprecationWarning, message="'click.utils")
    import typer  # noqa: F401
