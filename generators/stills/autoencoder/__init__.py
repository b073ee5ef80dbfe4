"""A small autoencoder of faces, whose reconstructions carry the traces of face-swap autoencoders."""
