"""The versions that Shoal answers with: its own, and the range of Engine API versions it speaks."""

from typing import Final

VERSION: Final = "0.1.0"
API_VERSION: Final = "1.50"
MIN_API_VERSION: Final = "1.24"
