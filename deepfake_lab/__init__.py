"""Deepfake Lab: classify a face photo as REAL or FAKE, honestly."""
