"""One file per system: its networks, its game, its presets, with the paper they follow."""
