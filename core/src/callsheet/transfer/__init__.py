"""HTTP and files from outside, guarded."""
