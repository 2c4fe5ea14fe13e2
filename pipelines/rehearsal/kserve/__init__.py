"""KServe without a cluster: what its webhooks admit, how its controllers move traffic, on real servers.

`admission`, `knative`, `standard` and `wishes` are pure and answer as the real 0.20.0 controllers did;
`live` lets them run.
"""

from pipelines.rehearsal.kserve.admission import Denied
from pipelines.rehearsal.kserve.live import KServe

__all__ = ["Denied", "KServe"]
