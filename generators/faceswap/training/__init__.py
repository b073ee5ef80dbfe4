"""Two folders of faces -> one encoder and two decoders."""
