"""Other software; each module needs an extra, and is imported by its own name."""

__all__: list[str] = []
