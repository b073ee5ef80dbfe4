"""Makes fakes: trains generators on real pictures and writes what they draw as labelled files."""
