"""The ground floor: what every layer, loss and optimizer stands on."""

__all__: list[str] = []
