"""Judges detectors: data sets, scores, statistics, perturbations, attacks, test sets, audits, reports."""
