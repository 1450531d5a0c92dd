"""``python -m yanmo``."""

from yanmo.cli import main

if __name__ == "__main__":
    main()
