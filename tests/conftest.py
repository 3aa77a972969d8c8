"""What all tests share."""

from hypothesis import settings

# A slow machine is no failure; what is random in CI must be found again by everyone.
settings.register_profile("elastron", deadline=None, derandomize=True)
settings.load_profile("elastron")
