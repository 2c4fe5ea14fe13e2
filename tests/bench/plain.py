"""What one would do instead of `lockgate lint`: load YAML, fill a template, check nothing.

Takes a repository's folder; prints how many manifests came of it. The fast loader of PyYAML is used.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jinja2
import yaml

SERVICE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {{ release.model }}
  namespace: {{ namespace }}
  annotations:
    serving.kserve.io/deploymentMode: {{ environment.mode }}
spec:
  predictor:
    canaryTrafficPercent: 100
    minReplicas: {{ release.serving.replicas.min }}
    maxReplicas: {{ release.serving.replicas.max }}
    serviceAccountName: {{ release.serving.service_account }}
    model:
      modelFormat:
        name: {{ release.serving.format }}
      protocolVersion: {{ release.serving.protocol }}
      storageUri: {{ release.version.uri }}
      resources:
{%- for kind, quantities in release.serving.resources.items() %}
        {{ kind }}:
{%- for resource, quantity in quantities.items() %}
          {{ resource }}: {{ quantity }}
{%- endfor %}
{%- endfor %}
"""
RECORD = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ release.model }}-lockgate
  namespace: {{ namespace }}
data:
  stable.label: {{ release.version.label }}
  stable.uri: {{ release.version.uri }}
  stable.digest: {{ release.version.digest }}
"""


def main(folder: Path) -> int:
    """Fill both templates for every model and environment, and see that the result is YAML."""
    jinja = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    templates = [jinja.from_string(SERVICE), jinja.from_string(RECORD)]
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    platform = yaml.load((folder / "platform.yaml").read_text(), Loader=loader)
    manifests = 0
    for path in sorted(folder.glob("models/*/release.yaml")):
        release = yaml.load(path.read_text(), Loader=loader)
        for environment in platform["environments"].values():
            namespace = environment["namespace"].replace("{tenant}", release["tenant"])
            for template in templates:
                text = template.render(release=release, environment=environment, namespace=namespace)
                manifests += bool(yaml.load(text, Loader=loader)["kind"])
    return manifests


if __name__ == "__main__":
    print(main(Path(sys.argv[1])), "manifests")
