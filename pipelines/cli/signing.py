"""Sign an artifact, and see that one is signed: before it is released, and before a pod loads it."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.session import Session, command, mistake

REFUSED = 4
HINT = "write env:NAME or file:/absolute/path of a PEM"


@command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--key", "key", metavar="REFERENCE", required=True, help=f"Private key: {HINT}.")
def sign(session: Session, artifact: Path, key: str) -> None:
    """Sign every file of an artifact with a private key.

    ARTIFACT is a folder; the signature becomes its file model.sig. Prints the digest of the whole, which
    release.yaml names.
    """
    from gates.signature import ArtifactUnusable, NotSigned, SigningMissing, artifact_digest
    from gates.signature import sign as write

    try:
        artifact_digest(artifact)  # links and pipes are refused before anybody vouches for them
        place = write(artifact, session.secrets.value(key, "--key"))
        found = artifact_digest(artifact)
    except (ArtifactUnusable, NotSigned, SigningMissing, OSError) as error:
        raise mistake(str(artifact), f"cannot be signed: {error}") from None
    if session.as_json:
        session.data("sign", {"artifact": str(artifact), "signature": str(place), "digest": found})
    session.out(found)


@command()
@click.argument("artifact")
@click.option("--digest", metavar="SHA256", help="The digest it must have, as release.yaml names it.")
@click.option(
    "--key", "keys", metavar="REFERENCE", multiple=True, help=f"Public key that may have signed: {HINT}."
)
def verify(session: Session, artifact: str, digest: str | None, keys: tuple[str, ...]) -> int:
    """See that an artifact is the one that was named and signed.

    ARTIFACT is a path, or an address such as s3://bucket/model/v38. Run it in an init container beside the
    model's volume to keep a pod from loading anything else. Exit code 4 when something does not hold.
    """
    from gates.signature import ArtifactUnusable, NotSigned, SigningMissing, file_digests, whole_digest
    from gates.signature import verify as check
    from pipelines import wiring

    if digest is None and not keys:
        raise mistake(artifact, "has nothing to be held against", "name --digest, --key or both")
    try:
        store = wiring.artifacts()
        path = store.fetch(artifact) if "://" in artifact else Path(artifact)
        files = file_digests(path)
        found = whole_digest(files)
        signer = (
            check(path, files, {key: session.secrets.value(key, "--key") for key in keys}) if keys else ""
        )
        broken = f"it has the digest {found}, not {digest}" if digest not in (None, found) else ""
    except NotSigned as error:
        signer, broken = "", str(error)
    except (ArtifactUnusable, SigningMissing, OSError) as error:
        raise mistake(artifact, f"cannot be verified: {error}") from None
    if session.as_json:
        body = {
            "artifact": artifact,
            "digest": found,
            "signer": signer,
            "holds": not broken,
            "broken": broken,
        }
        session.data("verify", body)
    session.say(
        f"DOES NOT HOLD: {broken}" if broken else f"holds: {found}" + (f", signed by {signer}" * bool(signer))
    )
    return REFUSED if broken else 0
