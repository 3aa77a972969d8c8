"""`python -m elastron` is the command `elastron`."""

from elastron.cli import main

if __name__ == "__main__":
    main()
