"""`python -m melstack`: the command line."""

from melstack.cli import main

if __name__ == "__main__":
    main()
