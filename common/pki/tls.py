"""The TLS of a node that lives on while its certificate and its roots change."""

import ssl

from common.errors import SystemFailureError
from common.pki.files import NodeFiles


class Tls:
    """Contexts made of a node's files. Whoever makes a connection asks for them each time: they are replaced.

    A context that is in use keeps what it was made with, a root that is trusted no more included; hence fresh ones.
    """

    def __init__(self, files: NodeFiles) -> None:
        """The files must be there.

        Raises:
            SystemFailureError: they cannot be read, or do not belong together.
        """
        self.files = files
        self._client, self._server = _contexts(files)

    def client(self) -> ssl.SSLContext:
        """For dialling managers, as this node."""
        return self._client

    def server(self) -> ssl.SSLContext:
        """For the listener, as this node."""
        return self._server

    def reload(self) -> None:
        """Connections made from now on show and trust what the files say now.

        Raises:
            SystemFailureError: they cannot be read, or do not belong together; what was in use before is.
        """
        self._client, self._server = _contexts(self.files)


def _contexts(files: NodeFiles) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    try:
        return files.client_context(), files.server_context()
    except OSError as error:
        raise SystemFailureError(
            f"cannot read this node's certificate: {error.strerror or error}"
        ) from error
