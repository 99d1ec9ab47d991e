"""Files in the idx format, plain or gzipped, believed only when their content is the known one."""

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lossheads.errors import UserError, reason


def read_idx(path: Path, md5: str) -> NDArray[np.uint8]:
    """The bytes of a verified idx file, in the shape its header gives.

    Args:
        md5: Of the *uncompressed* content. Archives of the same content differ: distributors
            compress again, and gzip writes times into its header.

    Raises:
        UserError: If the file cannot be read or decompressed, or holds anything else.

    Source: the format description at the end of LeCun's MNIST page: two zero bytes, a type byte
    (8 = unsigned byte), the number of dimensions, each size as big-endian int32, then the data.
    """
    remedy = f"delete {path} and get it again, or leave it out to have it found or fetched"
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"{path} cannot be read ({reason(error)}): it is truncated or damaged; {remedy}"
        ) from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise UserError(
            f"{path} holds {len(content):,} bytes with md5 {found}, the published content has "
            f"{md5}: it is truncated, altered or another file; {remedy}"
        )
    dimensions = content[3]
    shape = np.frombuffer(content, dtype=">i4", count=dimensions, offset=4)
    data = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions)
    return data.reshape(shape)
