"""Parquet: the rows of the CSV file, by pyarrow (extra ``parquet``)."""

from __future__ import annotations

import io

from prock.errors import NotSupported
from prock.recording.rows import ProcessSample

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from prock.recording.reader import Recording


def chunks(recording: Recording) -> Iterator[bytes]:
    try:
        import pyarrow  # type: ignore[import-not-found,import-untyped,unused-ignore]
        from pyarrow import parquet
    except ImportError:
        raise NotSupported("parquet without pyarrow: pip install 'prock[parquet]'") from None
    kinds = {"seconds": pyarrow.float64(), "time": pyarrow.float64(), "comm": pyarrow.string()}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.int64())) for name in ProcessSample._fields])
    columns = list(zip(*recording.process_samples(), strict=True)) or [()] * len(schema)
    table = pyarrow.table(dict(zip(ProcessSample._fields, columns, strict=True)), schema=schema)
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    yield buffer.getvalue()
