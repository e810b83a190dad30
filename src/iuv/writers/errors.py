"""What reading a result can fail with."""

__all__ = ["ResultFileError"]


class ResultFileError(ValueError):
    """The file does not hold results in the expected format, or asks for more than data."""
