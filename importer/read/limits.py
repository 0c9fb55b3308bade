"""How much an export may be. What is beyond is refused, or rejected, with a message; nothing real is known to
be near. Limits of HTML are in text/limits.py."""

# Helpdesks have a few hundred custom fields. Time and memory grow with the number of columns, and a few bytes
# of a compressed file can claim any number.
MOST_COLUMNS = 10_000
# Characters of a CSV row, and bytes of a Parquet cell: an e-mail with all that it quotes has a few MB. A
# quote that is not closed by then is an error. polars needs about twenty times as much memory as the longest
# cell.
LONGEST_RECORD = 1 << 26
# So much of a row that is too long is shown.
SHOWN_OF_LONG = 1_000
# From this size on, a CSV file is read after its structure check has ended, not beside it: before, its
# longest row is not known. The check takes half a second for each GB.
CHECKED_FIRST_BYTES = 1 << 29
# A file may unpack to so many bytes, or to so many times its size. Exports shrink to 1/5, repetitive ones to
# 1/50; 1/1000 is what gzip makes of zeros.
UNPACKED_FREELY_BYTES, MOST_UNPACKED = 1 << 30, 200
# No column of a Parquet file claims to unpack to so many times its size. A damaged byte count could use up
# the memory.
MOST_CLAIMED = 10_000
# polars counts rows in 32 bits, and a migration of so many tickets would take years.
MOST_ROWS = 1_000_000_000
# A Parquet file may have so many rows, or one for each of its bytes: Parquet can claim any number of equal
# rows in a few bytes, and the rows of an export differ at least in their ids.
ROWS_FREELY = 10_000_000
# Structs in structs of a Parquet file. Its readers call themselves for each level.
DEEPEST_STRUCT = 50
