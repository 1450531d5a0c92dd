"""Checkpoint in; report out."""
