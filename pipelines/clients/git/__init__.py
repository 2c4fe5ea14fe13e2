"""The git command line, for the GitOps repository and the journals kept in it.

- command.py     one git process: scrubbed environment, time-out, what its failures mean
- cache.py       a bare clone that several processes share, thrown away when it breaks
- remote.py      what the branches elsewhere name, fetching and pushing
- objects.py     files and commits in the clone, and new ones
- repository.py  files and commits (:class:`GitRepository`)
- journals.py    append-only journals on a branch of their own (:class:`GitJournals`)
"""

from pipelines.clients.git.journals import GitJournals
from pipelines.clients.git.repository import GitRepository

__all__ = ["GitJournals", "GitRepository"]
