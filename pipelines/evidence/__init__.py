"""Everything a promotion rests on in one file, and the check that it still is what was written. Pure.

``bundle`` packs and verifies, ``archive`` is the file it makes, ``statements`` says each verdict as an
in-toto statement, ``signing`` puts them under a signature, ``policy`` holds a promotion against the policy
pack of its tier, ``card`` writes the model card.
"""

from pipelines.evidence.archive import SUMS
from pipelines.evidence.bundle import Checked, Material, pack, share_commits, verify
from pipelines.evidence.signing import SigningFailed, SigningMissing

__all__ = [
    "SUMS",
    "Checked",
    "Material",
    "SigningFailed",
    "SigningMissing",
    "pack",
    "share_commits",
    "verify",
]
