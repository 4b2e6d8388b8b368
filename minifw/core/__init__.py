"""The five contracts: parameter, layer, loss, optimizer, objective; to be read in this order."""
