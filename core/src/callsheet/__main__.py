"""`python -m callsheet`."""

from __future__ import annotations

from callsheet.cli import main

if __name__ == "__main__":
    main()
