"""Commands on the files people edit: init, lint, plan, digest. None of them needs a network for a path."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click

from pipelines.cli.session import Session, command, mistake

_HERE = Path(__file__).resolve()
_MODELINE = "# yaml-language-server: $schema={}\n"


def _sample() -> Path:
    """The sample repository: beside the code in a checkout, inside the package once installed."""
    places = (_HERE.parents[2] / "gitops-repo", _HERE.parents[1] / "data" / "gitops-repo")
    return next(place for place in places if place.is_dir())


@command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def init(session: Session, folder: Path) -> None:
    """Copy the sample repository into an empty folder.

    The JSON Schemas of platform.yaml, release.yaml and clients.yaml are written to schemas/, for editors.
    """
    from gates import registry
    from pipelines.spec.schema import schemas

    held = [place.name for place in folder.iterdir() if place.name != ".git"] if folder.is_dir() else []
    if held:
        raise mistake(
            str(folder), f"holds {len(held)} files or folders already", "name a new or an empty folder"
        )
    shutil.copytree(_sample(), folder, dirs_exist_ok=True)
    (folder / "schemas").mkdir()
    for name, schema in schemas(registry.names()).items():
        place = folder / "schemas" / f"{name}.json"
        place.write_text(json.dumps(schema, indent=2, sort_keys=True) + "\n", "utf-8")
    _point(folder / "platform.yaml", "schemas/platform.json")
    for name in ("release", "clients"):
        for file in folder.glob(f"models/*/{name}.yaml"):
            _point(file, f"../../schemas/{name}.json")
    files = sorted(place.relative_to(folder).as_posix() for place in folder.rglob("*") if place.is_file())
    written = [path for path in files if not path.startswith(".git/")]
    if session.as_json:
        session.data("init", {"folder": str(folder), "files": written})
    session.say(f"{len(written)} files are in {folder}; edit platform.yaml, then: lockgate lint {folder}")


def _point(file: Path, schema: str) -> None:
    """Tell editors which schema a file follows."""
    file.write_text(_MODELINE.format(schema) + file.read_text("utf-8"), "utf-8")


@command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
def lint(session: Session, path: Path | None) -> int:
    """Check every file people edit, and every manifest they lead to.

    Reads platform.yaml, all models/*/release.yaml and the clients.yaml beside them below PATH (else --repo,
    else here), renders every model for every environment, and holds each manifest against the policy. All
    problems are listed at once. Exit code 3 when there is one.
    """
    from pipelines.cli.linting import lint as all_of
    from pipelines.cli.tree import WorkingTree

    root = path or session.folder
    if not root.is_dir():
        raise mistake(str(root), "is no folder", "name the folder that holds platform.yaml")
    linted = all_of(WorkingTree(root))
    counts = {
        "models": linted.models,
        "environments": linted.environments,
        "manifests": linted.manifests,
    }
    if session.as_json:
        session.data("lint", {**counts, "problems": [session.problem(one) for one in linted.problems]})
    for problem in linted.problems:
        session.out(str(problem))
    what = f"{linted.models} models, {linted.environments} environments, {linted.manifests} manifests"
    found = f"{len(linted.problems)} problem{'s' if len(linted.problems) != 1 else ''}"
    session.say(f"{what}: {found if linted.problems else 'no problem'}")
    return 3 if linted.problems else 0


@command()
@click.argument("model", required=False)
@click.argument("version", required=False)
@click.option("--uri", help="Immutable address of a version that release.yaml does not name.")
@click.option("--digest", help="Its digest, as `lockgate digest` prints it.")
@click.option("--to", "to", metavar="ENV", help="The environment; by default the last one.")
@click.option("--changed", metavar="COMMIT", help="Of every model whose release.yaml differs from it.")
def plan(
    session: Session,
    model: str | None,
    version: str | None,
    uri: str | None,
    digest: str | None,
    to: str | None,
    changed: str | None,
) -> int:
    """Show the stages a promotion would go through; nothing is touched.

    Reads the working tree (main, where --repo is an address) and asks no network. With --changed: for every
    model whose release.yaml differs from that commit, in every environment, the plan and what becomes of the
    manifests, and every problem there is, as Markdown. Exit code 3 when there is one.
    """
    from pipelines.cli.choosing import Asked
    from pipelines.cli.planning import planned

    if changed is not None:
        if any((model, uri, digest, to)):
            raise mistake("--changed", "plans all models that differ, everywhere", "leave the rest out")
        return _changed(session, changed)
    if model is None:
        raise mistake("MODEL", "is missing", "name a model, or a commit: --changed COMMIT")
    drawn = planned(session, model, Asked(version, uri, digest), to)
    if session.as_json:
        session.data("plan", drawn.data)
        return 0
    for line in drawn.head:
        session.out(line)
    session.table(drawn.columns, drawn.rows)
    for line in drawn.foot:
        session.out(line)
    return 0


def _changed(session: Session, commit: str) -> int:
    from pipelines.cli.edits import edits
    from pipelines.render import edits_text

    found = edits(session, commit)
    if session.as_json:
        session.data("edits", found.model_dump(mode="json"))
    session.out(edits_text(found))
    return 3 if found.problems else 0


@command()
@click.argument("artifact")
def digest(session: Session, artifact: str) -> None:
    """Print the digest of an artifact, as release.yaml wants it.

    ARTIFACT is a path, or an address such as s3://bucket/model/v38.
    """
    from gates.signature import ArtifactUnusable, artifact_digest
    from pipelines import wiring

    try:
        if "://" in artifact:
            store = wiring.artifacts()
            found = artifact_digest(store.fetch(artifact))
        else:
            found = artifact_digest(Path(artifact))
    except (ArtifactUnusable, OSError) as error:
        raise mistake(artifact, f"has no digest: {error}", "name a file or a folder of files") from None
    body: dict[str, Any] = {"artifact": artifact, "digest": found}
    if session.as_json:
        session.data("digest", body)
    session.out(found)
