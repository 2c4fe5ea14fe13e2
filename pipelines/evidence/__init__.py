"""Everything a promotion rests on in one file, and the check that it still is what was written. Pure.

``bundle`` packs and verifies, ``statements`` says each verdict as an in-toto statement, ``policy`` holds a
promotion against the policy pack of its tier, ``card`` writes the model card.
"""

from pipelines.evidence.bundle import SUMS, Checked, Material, pack, share_commits, verify

__all__ = ["SUMS", "Checked", "Material", "pack", "share_commits", "verify"]
