"""Files that an image brings and a container's set-up reads, such as /etc/passwd: they may be a trap."""

import errno
import os
import stat

from worker.kernel import syscalls
from worker.kernel.syscalls import RESOLVE_NO_MAGICLINKS
from worker.runtime.refusal import INVALID, Refusal


def read_image_file(path: str, max_bytes: int) -> str:
    """A text file of the image, such as /etc/passwd; "" when there is none.

    It may be a link, a pipe, a device or endless: only a regular file within ``max_bytes`` is read.

    Raises:
        Refusal: it is something else.
    """
    try:
        fd = syscalls.openat2(
            syscalls.AT_FDCWD,
            path,
            os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY,
            RESOLVE_NO_MAGICLINKS,
        )
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return ""
        raise Refusal(INVALID, f"{path} in the image: {os.strerror(error.errno or 0)}") from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Refusal(INVALID, f"{path} in the image is not a regular file")
        content = b""
        while piece := os.read(fd, max_bytes + 1 - len(content)):
            content += piece
            if len(content) > max_bytes:
                raise Refusal(INVALID, f"{path} in the image is larger than {max_bytes} bytes")
    finally:
        os.close(fd)
    return content.decode(errors="surrogateescape")
