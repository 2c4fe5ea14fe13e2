"""Is the artifact the one that was named, and is it signed by whom the tier trusts?

``digest`` reads the bytes, ``signing`` asks model-signing about them, ``gate`` judges.
"""

from gates.signature.digest import ArtifactUnusable, artifact_digest, file_digests, whole_digest
from gates.signature.gate import Artifacts, Keys, Signature, SignatureSettings
from gates.signature.signing import NotSigned, SigningMissing, sign, verify

__all__ = [
    "ArtifactUnusable",
    "Artifacts",
    "Keys",
    "NotSigned",
    "Signature",
    "SignatureSettings",
    "SigningMissing",
    "artifact_digest",
    "file_digests",
    "sign",
    "verify",
    "whole_digest",
]
