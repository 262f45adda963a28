"""Deterministic content (pictures, sound, video, text, JSON values) made with the standard library only."""
