"""Reading files of orders: `lines` -> `csv_rows` or `json_rows` -> `rows`, and `rejects`, what could not be read.

A row is either good or bad, with the number of its line. One bad row never spoils its neighbours, and what cannot
be read as text or as a row is a bad row too. Memory does not grow with the file, however long one line is.
"""
