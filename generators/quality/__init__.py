"""How good generated pictures are: KID, FID, precision and recall over a named feature extractor, and memorisation."""
