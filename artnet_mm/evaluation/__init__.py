from ..version import check_versions

check_versions()  # a package that is missing is named with what to install

from .metrics import VideoAccuracy  # noqa: E402

__all__ = ['VideoAccuracy']
