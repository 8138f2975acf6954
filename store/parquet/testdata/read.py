"""Prints the rows of a Parquet file, one JSON object a line, as pyarrow reads them.

    python3 read.py FILE

Page checksums are verified. A value that is null is left out; a time is an
integer, nanoseconds since the Unix epoch; a UUID is its 36-character form.
"""

import json
import sys
import uuid

import pyarrow as pa
import pyarrow.parquet as pq


def plain(column):
    """Returns a column's values as what JSON can hold."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        return column.cast(pa.int64()).to_pylist()
    if isinstance(kind, pa.BaseExtensionType):
        column = pa.chunked_array([c.storage for c in column.chunks], kind.storage_type)
        kind = kind.storage_type
    if pa.types.is_fixed_size_binary(kind):
        return [None if v is None else str(uuid.UUID(bytes=v)) for v in column.to_pylist()]
    return column.to_pylist()


def main(path):
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            columns = [plain(table.column(i)) for i in range(table.num_columns)]
            for row in zip(*columns):
                values = {k: v for k, v in zip(table.column_names, row) if v is not None}
                sys.stdout.write(json.dumps(values, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    main(sys.argv[1])
