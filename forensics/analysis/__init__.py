"""One file per classical forensic analysis: typed media in, a Finding out."""
