"""Can those who call the stable version call the candidate in the same words?

``tensors`` says what one version takes and gives, ``pbtxt`` reads Triton's config, ``clients`` the contract
that callers wrote down, ``judging`` compares, ``gate`` asks.
"""

from gates.compatibility.gate import Compatibility, CompatibilitySettings, Inference, Repository

__all__ = ["Compatibility", "CompatibilitySettings", "Inference", "Repository"]
